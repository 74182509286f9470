//! The memory that a model runs in.

use super::chain::{InferMemory, Room, StageMemory};
use crate::network::{Batch, Masks, State};
use crate::params::Params;
use crate::tensor::Buffer;

/// The memory that a [`Model`](super::Model) runs in, and what its last run left there. It belongs to the caller, serves
/// one model after another, grows to the largest use, and then allocates nothing more.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::{Gru, Lstm, Rng, Threads, Workspace};
///
/// let mut rng = Rng::new(1);
/// let (lstm, gru) = (Lstm::builder(3, 8).model(&mut rng)?, Gru::builder(8, 4).model(&mut rng)?);
/// let mut workspace = Workspace::default();
/// let x = Seq::zeros(5, 2, 3)?; // (T, B, I)
///
/// // An output lies in the workspace, so it is copied before the next run.
/// let output = lstm.run_with(&x, None, &mut workspace, Threads::one())?;
/// let between = Seq::from_slice(output.values().flat().expect("a whole output"), 5, 2, 8)?;
/// let output = gru.run_with(&between, None, &mut workspace, Threads::one())?;
/// assert_eq!(output.values().shape(), [5, 2, 4]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) batch: Batch,
    /// The input, turned to time-major, where it came batch-first or as indices.
    pub(super) x: Buffer,
    /// Where new sequences begin, turned to time-major, where the mask came batch-first.
    pub(super) resets: Vec<bool>,
    pub(super) infer: InferMemory,
    pub(super) stages: Vec<StageMemory>,
    pub(super) room: Room,
    /// The model's own first states, for every row.
    pub(super) own: State,
    /// The first and the last states, rows sorted by length.
    pub(super) sorted: State,
    pub(super) last_sorted: State,
    /// The last states.
    pub(super) state: State,
    /// The output, turned to batch-first.
    pub(super) turned: Buffer,
    pub(super) last: Last,
    pub(super) back: BackMemory,
}

impl Clone for Workspace {
    /// A workspace of its own, empty: what a run has left in this one only a borrow of it can read.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Workspace {
    /// The states after the last run.
    pub(crate) fn last_state(&self) -> &State {
        &self.state
    }

    /// The gradients of the last backward pass.
    pub(crate) fn last_gradients(&self) -> Option<&Params> {
        self.back.gradients.as_ref()
    }
}

/// What the last run left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    /// Which of the pair has the output, of a run in inference.
    pub(super) place: Option<usize>,
    pub(super) width: usize,
    /// Whether one step is left of each row.
    pub(super) one_step: bool,
    pub(super) masks: Masks,
}

/// The memory of the backward pass.
#[derive(Clone, Debug, Default)]
pub(super) struct BackMemory {
    pub(super) batch: Batch,
    /// The gradient of the output as a loss gives it, and turned to time-major.
    pub(super) d_output: Buffer,
    pub(super) d_output_turned: Buffer,
    pub(super) gradients: Option<Params>,
    pub(super) d_x: Buffer,
    pub(super) turned: Buffer,
    pub(super) d_last: State,
    pub(super) d_first_sorted: State,
    pub(super) d_first: State,
}

/// A workspace of one's own, or a caller's.
#[derive(Debug)]
pub(super) enum Memory<'w> {
    Own(Box<Workspace>),
    Lent(&'w mut Workspace),
}

impl Memory<'_> {
    pub(super) fn get(&self) -> &Workspace {
        match self {
            Memory::Own(workspace) => workspace,
            Memory::Lent(workspace) => workspace,
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut Workspace {
        match self {
            Memory::Own(workspace) => workspace,
            Memory::Lent(workspace) => workspace,
        }
    }
}
