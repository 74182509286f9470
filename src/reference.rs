//! The naive engine.
