//! Ring 4: layers over a model's flat parameters, under PyTorch's names.

mod rnn;

pub use rnn::{Rnn, RnnBackward, RnnBuilder, Workspace};
