//! What `elman`, the command line, is made of: the code that measures, and the task of the sine.

pub mod measure;
pub mod sine;
