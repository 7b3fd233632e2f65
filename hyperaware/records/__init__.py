"""Records: who decided what and why, kept so that nobody can change it unseen, and who may ask.

Each `RecordError` has one of these reasons:

    refused     wrong fields, content where only hashes may stand, a wrong head
    unknown     no such log, decision or case
    conflict    the case is in another state, or leased to somebody else
    damaged     a file is not what was written
    disk        a file cannot be read or written
    closed      the log or queue was closed
"""
