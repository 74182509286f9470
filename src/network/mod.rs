//! Ring 4: networks of recurrent layers over a model's flat parameters, under PyTorch's names.
//!
//! [`Recurrent`] is what [`Rnn`], [`Gru`] and [`Lstm`] have in common: `recurrent.rs` holds the layers, `pass.rs` runs them
//! forward, `backward.rs` backward, both in the memory of a [`Workspace`].

mod backward;
mod config;
mod dropout;
mod gru;
mod input;
mod kinds;
mod lstm;
mod pass;
mod recurrent;
mod rnn;
mod state;

pub use backward::Backward;
pub use config::NetworkConfig;
pub use gru::{Gru, GruBuilder};
pub use input::Input;
pub use lstm::{Lstm, LstmBuilder};
pub use pass::Workspace;
pub use recurrent::Recurrent;
pub use rnn::{Rnn, RnnBuilder};
pub use state::State;
