"""The SQL of a journal in Postgres: its tables and functions by version, and every statement.

Invariant: pure. Every call of a journal is one statement, so that it takes one round trip and is stored completely or
not at all. A released version is never edited; what changes it is appended, and a function that changes its meaning
gets a new name, so that a worker of an older version fails instead of storing something else.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ANALYSIS_CONFLICT", "LIMIT_REACHED", "MIGRATIONS", "SCHEMA_NAME", "SERVER", "SUBJECT_CONFLICT"]

SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}")

ANALYSIS_CONFLICT: Final = "OC001"
SUBJECT_CONFLICT: Final = "OC002"
LIMIT_REACHED: Final = "OC003"

SERVER: Final = """
SELECT pg_is_in_recovery() AS replica, current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('fsync') AS fsync,
    CASE WHEN pg_is_in_recovery() THEN '' ELSE
        (SELECT system_identifier FROM pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
    END AS identity
"""
"""What a server is: the identity of its data, and the timeline, which every promotion of a replica increments."""

MIGRATIONS: Final = (
    """
CREATE TABLE {schema}.about (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL,
    server text NOT NULL,
    failover boolean NOT NULL DEFAULT false,
    paused_until timestamptz
);
CREATE TABLE {schema}.entries (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    key text PRIMARY KEY,
    state text NOT NULL,
    version integer NOT NULL,
    credits integer NOT NULL,
    subject text,  -- of a start that is not resolved
    tag text,  -- the same, if it is a tagging subject
    facts text NOT NULL
);
CREATE INDEX entries_state ON {schema}.entries (state, seq);  -- none of seq alone: PAGE would read all of that one
CREATE INDEX entries_subject ON {schema}.entries (subject) WHERE subject IS NOT NULL;
CREATE UNIQUE INDEX entries_tag ON {schema}.entries (tag) WHERE tag IS NOT NULL;
CREATE TABLE {schema}.history (
    key text, version integer, change text NOT NULL, facts text NOT NULL, PRIMARY KEY (key, version)
);
CREATE TABLE {schema}.results (key text PRIMARY KEY, results bytea NOT NULL, calculated bytea);
CREATE TABLE {schema}.analyses (analysis_id text PRIMARY KEY, key text NOT NULL);
CREATE TABLE {schema}.tallies (
    what text, slot integer, number bigint NOT NULL, PRIMARY KEY (what, slot)
) WITH (fillfactor = 10);
CREATE TABLE {schema}.budget (credits bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO {schema}.budget VALUES (0);
CREATE TABLE {schema}.notes (name text PRIMARY KEY, value text NOT NULL, change text NOT NULL);
CREATE TABLE {schema}.tagging_subjects (subject text PRIMARY KEY, usable boolean NOT NULL);
CREATE TABLE {schema}.digests (source text PRIMARY KEY, digest text NOT NULL);
CREATE TABLE {schema}.workers (name text PRIMARY KEY, label text NOT NULL, until timestamptz NOT NULL);
CREATE TABLE {schema}.claims (name text PRIMARY KEY, worker text NOT NULL, awaited boolean NOT NULL DEFAULT false);
CREATE INDEX claims_worker ON {schema}.claims (worker);
CREATE TABLE {schema}.rates (name text PRIMARY KEY, next timestamptz NOT NULL, at timestamptz NOT NULL);

CREATE FUNCTION {schema}.live_holder(claimed text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT w.name FROM {schema}.claims c JOIN {schema}.workers w ON w.name = c.worker
    WHERE c.name = claimed AND w.until > clock_timestamp()
$$;

-- Stores the next version of some entries, or of none. Returns the key of the first that has another version or state
-- than its change starts from. What is finished is counted, so that totals need not read it; connections seldom share
-- a count, so they seldom wait for each other. The budget comes last, because all workers wait for it.
CREATE FUNCTION {schema}.store(
    new_change text, keys text[], versions integer[], starts text[], states text[], new_credits integer[],
    subjects text[], analyses text[], new_facts text[], changes text[],
    new_results bytea, new_calculated bytea, most bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stored record;
    spent bigint := 0;
    total bigint;
    new_tag text;
    finished CONSTANT text[] := ARRAY['analyzed', 'failed', 'refused'];
    tallied text[] := ARRAY[]::text[];
    changed integer[] := ARRAY[]::integer[];
BEGIN
    FOR i IN 1 .. cardinality(keys) LOOP
        SELECT e.version, e.state, e.credits INTO stored FROM {schema}.entries e WHERE e.key = keys[i] FOR UPDATE;
        IF coalesce(stored.version, 0) <> versions[i]
            OR coalesce(stored.state, '') <> ALL (string_to_array(starts[i], ',')) THEN
            -- A change whose confirmation was lost is sent again, and may be stored already.
            IF EXISTS (SELECT FROM {schema}.history h
                WHERE h.key = keys[i] AND h.version = versions[i] + 1 AND h.change = new_change) THEN
                RETURN NULL;
            END IF;
            RETURN keys[i];
        END IF;
        spent := spent + new_credits[i] - coalesce(stored.credits, 0);
        IF stored.state = ANY (finished) THEN
            tallied := tallied || stored.state;
            changed := changed || -1;
        END IF;
        IF states[i] = ANY (finished) THEN
            tallied := tallied || states[i];
            changed := changed || 1;
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(keys) LOOP
        IF analyses[i] IS NOT NULL THEN
            INSERT INTO {schema}.analyses VALUES (analyses[i], keys[i]) ON CONFLICT DO NOTHING;
            IF FOUND THEN
                tallied := tallied || 'analyses'::text;
                changed := changed || 1;
            ELSIF EXISTS (SELECT FROM {schema}.analyses a
                WHERE a.analysis_id = analyses[i] AND a.key <> keys[i]) THEN
                RAISE EXCEPTION 'analysis' USING ERRCODE = 'OC001', DETAIL = i;
            END IF;
        END IF;
        IF starts[i] = states[i] THEN  -- a late analysis, which changes no state and so takes no subject
            SELECT e.tag INTO new_tag FROM {schema}.entries e WHERE e.key = keys[i];
        ELSE
            SELECT t.subject INTO new_tag FROM {schema}.tagging_subjects t WHERE t.subject = subjects[i];
        END IF;
        IF starts[i] <> states[i] AND new_tag IS NOT NULL AND EXISTS (SELECT FROM {schema}.entries e
            WHERE e.subject = new_tag AND e.key <> keys[i]) THEN
            RAISE EXCEPTION 'subject' USING ERRCODE = 'OC002', DETAIL = i;
        END IF;
        IF versions[i] = 0 THEN
            INSERT INTO {schema}.entries (key, state, version, credits, subject, tag, facts) VALUES
                (keys[i], states[i], 1, new_credits[i], subjects[i], new_tag, new_facts[i]);
        ELSE
            UPDATE {schema}.entries SET state = states[i], version = versions[i] + 1, credits = new_credits[i],
                subject = subjects[i], tag = new_tag, facts = new_facts[i] WHERE key = keys[i];
        END IF;
        -- Asked once the entry has the subject. Whoever resolves the start before by hand first retires the subject.
        IF states[i] = 'intended' AND starts[i] <> states[i] AND EXISTS (SELECT FROM {schema}.tagging_subjects t
            WHERE t.subject = new_tag AND NOT t.usable) THEN
            RAISE EXCEPTION 'subject' USING ERRCODE = 'OC002', DETAIL = i;
        END IF;
        INSERT INTO {schema}.history VALUES (keys[i], versions[i] + 1, new_change, changes[i]);
    END LOOP;
    IF new_results IS NOT NULL THEN
        INSERT INTO {schema}.results VALUES (keys[1], new_results, new_calculated)
        ON CONFLICT (key) DO UPDATE SET results = excluded.results, calculated = excluded.calculated;
    END IF;
    IF cardinality(tallied) > 0 THEN
        INSERT INTO {schema}.tallies AS t
        SELECT u.what, pg_backend_pid() % 64, sum(u.number) FROM unnest(tallied, changed) AS u (what, number)
        GROUP BY u.what HAVING sum(u.number) <> 0 ORDER BY u.what
        ON CONFLICT (what, slot) DO UPDATE SET number = t.number + excluded.number;
    END IF;
    IF spent <> 0 OR most IS NOT NULL THEN
        UPDATE {schema}.budget SET credits = credits + spent RETURNING credits INTO total;
        IF total > most THEN
            RAISE EXCEPTION 'limit' USING ERRCODE = 'OC003', DETAIL = total;
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- Claims the first free name. `again`: the same was asked before, and the answer was lost.
CREATE FUNCTION {schema}.take(me text, names text[], again boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
BEGIN
    IF again THEN
        SELECT c.name INTO wanted FROM {schema}.claims c WHERE c.name = ANY (names) AND c.worker = me LIMIT 1;
        IF FOUND THEN
            RETURN wanted;
        END IF;
    END IF;
    FOREACH wanted IN ARRAY names LOOP
        CONTINUE WHEN coalesce({schema}.live_holder(wanted), me) <> me;
        INSERT INTO {schema}.claims AS c (name, worker) VALUES (wanted, me)
        ON CONFLICT (name) DO UPDATE SET worker = me WHERE c.worker = me
            OR NOT EXISTS (SELECT FROM {schema}.workers w WHERE w.name = c.worker AND w.until > clock_timestamp());
        IF FOUND THEN
            RETURN wanted;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
""",
)
"""The script that leads from each version of the tables to the next one."""

ABOUT: Final = "SELECT version FROM {schema}.about"
MIGRATED: Final = """
INSERT INTO {schema}.about (version, server) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE SET version = $1
"""
OPENED: Final = """
UPDATE {schema}.about SET failover = failover OR server <> $1, server = $1 RETURNING failover
"""
FORGET_WORKERS: Final = """
WITH gone AS (DELETE FROM {schema}.workers WHERE until < clock_timestamp() - interval '1 hour')
DELETE FROM {schema}.claims c WHERE NOT EXISTS
    (SELECT FROM {schema}.workers w WHERE w.name = c.worker AND w.until > clock_timestamp())
"""
"""It asks about the worker of the row itself: a live one may take the claim while this waits for that row."""
LIVE_WORKERS: Final = "SELECT count(*) FROM {schema}.workers WHERE until > clock_timestamp()"

GET: Final = "SELECT facts FROM {schema}.entries WHERE key = $1"
STORE: Final = "SELECT {schema}.store($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
OWNER: Final = """
SELECT facts, (SELECT a.key FROM {schema}.analyses a WHERE a.analysis_id = $2) AS owner
FROM {schema}.entries WHERE key = $1
"""
RESULTS: Final = "SELECT results, calculated FROM {schema}.results WHERE key = $1"
PAGE: Final = """
SELECT e.seq, e.facts FROM unnest($3::text[]) AS s (state), LATERAL (
    SELECT seq, facts FROM {schema}.entries WHERE state = s.state AND seq > $1 ORDER BY seq LIMIT $2
) AS e ORDER BY e.seq LIMIT $2
"""
"""One query for each state, since one for all of them may read every finished entry on its way."""
HISTORY: Final = "SELECT facts FROM {schema}.history WHERE key = $1 ORDER BY version"
TOTALS: Final = """
WITH states AS (
    SELECT what AS state, sum(number) AS entries FROM {schema}.tallies GROUP BY what
    UNION ALL
    SELECT s.state, (SELECT count(*) FROM {schema}.entries e WHERE e.state = s.state) FROM unnest($1::text[]) s (state)
)
SELECT b.credits, (SELECT json_object_agg(state, entries) FROM states) AS entries
FROM {schema}.budget b
"""
"""The argument is every state that is not finished. One of the counts is that of the analyses."""
KNOWN: Final = "SELECT analysis_id FROM {schema}.analyses WHERE analysis_id = ANY ($1)"

NOTES: Final = """
SELECT name, value FROM {schema}.notes WHERE starts_with(name, $1) AND name COLLATE "C" >= $2 ORDER BY name COLLATE "C"
"""
SET_NOTE: Final = """
INSERT INTO {schema}.notes VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET value = $2, change = $3
"""
ADD_NOTE: Final = """
INSERT INTO {schema}.notes AS n VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET value = $2 WHERE n.change = $3
RETURNING true
"""
SWAP_NOTE: Final = """
UPDATE {schema}.notes SET value = $2, change = $3 WHERE name = $1 AND (value = $4 OR change = $3) RETURNING true
"""
SUBJECTS: Final = "SELECT subject, usable FROM {schema}.tagging_subjects ORDER BY subject"
ADD_SUBJECT: Final = """
INSERT INTO {schema}.tagging_subjects VALUES ($1, true) ON CONFLICT (subject) DO UPDATE SET usable = true
"""
RETIRE_SUBJECT: Final = "UPDATE {schema}.tagging_subjects SET usable = false WHERE subject = $1"
DIGEST: Final = "SELECT digest FROM {schema}.digests WHERE source = $1"
SET_DIGEST: Final = """
INSERT INTO {schema}.digests VALUES ($1, $2) ON CONFLICT (source) DO UPDATE SET digest = $2
"""

TAKE: Final = "SELECT {schema}.take($1, $2, $3) AS name FROM {schema}.about WHERE version = $4"
"""No row: the tables have another version, so this worker must take nothing any more. The same for `BEAT`."""
LEAVE: Final = """
WITH gone AS (DELETE FROM {schema}.claims WHERE name = $1 AND worker = $2 RETURNING name, awaited)
SELECT pg_notify($3, md5(name)) FROM gone WHERE awaited
"""
LEAVE_ALL: Final = """
WITH worker AS (DELETE FROM {schema}.workers WHERE name = $1),
gone AS (DELETE FROM {schema}.claims WHERE worker = $1 RETURNING name, awaited)
SELECT pg_notify($2, md5(name)) FROM gone WHERE awaited
"""
HOLDER: Final = "SELECT name, label FROM {schema}.workers WHERE name = {schema}.live_holder($1)"
AWAIT: Final = """
UPDATE {schema}.claims c SET awaited = true FROM {schema}.workers w
WHERE c.name = $1 AND w.name = c.worker AND w.until > clock_timestamp()
RETURNING extract(epoch FROM w.until - clock_timestamp())::float8
"""
BEAT: Final = """
WITH of_another_clock AS (
    UPDATE {schema}.workers SET until = clock_timestamp() + make_interval(secs => $3)
    WHERE name <> $1 AND until > clock_timestamp() + make_interval(secs => $3)
)
INSERT INTO {schema}.workers
SELECT $1, $2, clock_timestamp() + make_interval(secs => $3) FROM {schema}.about WHERE version = $4
ON CONFLICT (name) DO UPDATE SET until = excluded.until
RETURNING (SELECT greatest(0, extract(epoch FROM paused_until - clock_timestamp())) FROM {schema}.about)::float8
    AS paused, (SELECT failover FROM {schema}.about) AS failover
"""
"""No lease is longer than that of a worker that beats now: if the clock is set back, dead workers would live on."""
NOW: Final = "SELECT clock_timestamp()"
PAUSE: Final = "UPDATE {schema}.about SET paused_until = clock_timestamp() + make_interval(secs => $1)"
RESERVE: Final = """
INSERT INTO {schema}.rates AS r VALUES ($1, clock_timestamp() + make_interval(secs => $2), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET at = clock_timestamp(), next = make_interval(secs => $2)
    + greatest(r.next - greatest(r.at - clock_timestamp(), interval '0'), clock_timestamp())
RETURNING greatest(0, extract(epoch FROM r.next - make_interval(secs => $2) - clock_timestamp()))::float8
"""
"""If the clock was set back since the last moment was reserved, what is reserved moves with it."""
END_FAILOVER: Final = "UPDATE {schema}.about SET failover = false"
