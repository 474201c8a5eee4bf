//! Use cases, one a file, named by a verb: free functions with the application first.
