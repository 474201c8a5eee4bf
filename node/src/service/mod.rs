//! Use cases, one a file, named by a verb: free functions with the application first.

pub mod check_rate;
