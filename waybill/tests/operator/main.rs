//! The operator's tools, run as an operator runs them.
