//! Floor 4: recurrent layers one above the other and side by side, under PyTorch's names.
//!
//! `recurrent.rs` holds the layers and their parameters; `batch.rs` is the door that batches come in by; `forward.rs` and
//! `backward.rs` run the layers over time-major rows; `whole/` is all of that in one call.

mod backward;
mod batch;
mod config;
mod dropout;
mod forward;
mod gru;
mod input;
mod kinds;
mod lstm;
mod recurrent;
mod rnn;
mod state;
mod whole;

pub(crate) use backward::RecurrentBackward;
pub(crate) use batch::{Batch, Flow, Form, turn};
pub use config::NetworkConfig;
pub(crate) use config::check_forget_bias;
pub(crate) use forward::{At, Masks, RecurrentMemory, States};
pub use gru::{Gru, GruBuilder};
pub use input::Input;
pub(crate) use input::Source;
pub use lstm::{Lstm, LstmBuilder};
pub use recurrent::Recurrent;
pub use rnn::{Rnn, RnnBuilder};
pub use state::State;
pub use whole::{BackwardArgs, RecurrentWorkspace};
