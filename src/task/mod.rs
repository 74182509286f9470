//! Tasks from end to end: data, model, training, result.

pub mod sine;
