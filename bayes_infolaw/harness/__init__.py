"""The training harness: text -> quality buckets -> packed sets -> trained models -> run tables.

The one wing of the package that needs the extra ``train``; it writes the tables that
``bayes-infolaw fit`` reads, and nothing but the command line enters it.
"""
