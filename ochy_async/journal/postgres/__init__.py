"""The journal in a Postgres database, which any number of workers share.

Invariant: the address of the database holds a password, which ranks with the API key. It is in no repr, log, error,
frame of an error or pickle.
"""
