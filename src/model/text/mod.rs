//! A [`ModelSpec`](super::ModelSpec) as text, as it stands in a file's metadata and as a user writes it.
//!
//! One statement a line, or several in a line with a comma and a space between them; `#` begins a comment.
//!
//! ```text
//! elman 1                       the version of this description
//! inputs 3                      features of a step; `inputs 3 batch-first` where batches are (B, T, ·)
//! embedding table vocabulary=100 width=16
//! lstm rnn hidden=64,64 bidirectional projection=8 dropout=0.1
//! last                          or every-step, mean, max
//! linear fc outputs=5
//! relu
//! scale gain=0.5 offset=1,2,3
//! residual block from=0 {
//!   gru rnn hidden=3
//! }
//! part encoder {
//!   inputs 3
//!   rnn rnn hidden=8 activation=relu
//! }
//! ```
//!
//! The word after the kind is the layer's name, what comes before its parameters' names in the file; it may be left out,
//! and stands in quotes where it is no plain word (`"a b"`).
//!
//! | kind | settings |
//! |---|---|
//! | `embedding` | `vocabulary=N width=N` |
//! | `rnn` | `activation=A clip=X`, and those of every recurrent layer |
//! | `gru` | `reset=before gates=A candidate=A clip=X`, and those of every recurrent layer |
//! | `lstm` | `peepholes input-forget gates=A candidate=A output=A clip=X`, and those of every recurrent layer |
//! | every recurrent layer | `hidden=N,N,…` (one for each layer), `bidirectional no-bias projection=N dropout=X own-state delay=N` |
//! | `linear` | `outputs=N no-bias` |
//! | `every-step`, `last`, `mean`, `max` | |
//! | `scale` | `gain=X,X,… offset=X,X,…` |
//! | `residual` | `from=N`, then its layers in braces |
//! | an activation A | |
//!
//! Activations are `identity`, `tanh`, `relu`, `sigmoid`, `softmax`, `softsign`, `softplus`, `hard-sigmoid(alpha,beta)`,
//! `leaky-relu(alpha)`, `elu(alpha)`, `scaled-tanh(alpha,beta)`, `affine(alpha,beta)` and `thresholded-relu(alpha)`. What
//! is left out is as PyTorch has it.

mod read;
mod statement;
#[cfg(test)]
mod tests;
mod write;

/// The settings that are one word: a layer of one of these names has it in quotes.
const FLAGS: [&str; 6] = ["bidirectional", "no-bias", "own-state", "peepholes", "input-forget", "batch-first"];

/// Whether a name can stand without quotes.
fn plain(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !name.is_empty() && name.chars().all(word) && !FLAGS.contains(&name)
}

#[cfg(feature = "safetensors")]
pub(super) use read::activation;
