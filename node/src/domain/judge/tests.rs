//! Rules against small examples; the property test is in `tests/it/judge.rs`.
