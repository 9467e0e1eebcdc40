"""Files of customers: read row by row, checked, and sent to a worker as lines of a bulk load.

Rules of this package:

1.  A file of any length is read in a memory that does not depend on it: a line, a batch, a group of rows.
2.  A bad row is told with all that is wrong with it, and stops no other. What makes the rest of the file
    unreadable is a `FileProblem`.
3.  A row is known by its line in the file, from 1; in Parquet, by its place among the rows.
"""
