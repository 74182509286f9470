//! Several rows at once.

use std::sync::Arc;

use super::core::Core;
use crate::error::Result;
use crate::model::Model;
use crate::network::State;

/// Several rows that go through a model together step by step, each with a state of its own: the channels of a sound, the
/// voices of a synthesizer, a set of sensors.
///
/// One call is one step of all rows, and loads each weight once for several of them: a row takes less time than in a
/// [`Stream`](crate::Stream) of its own, and has the same bits. No row depends on another: a NaN stays in its row.
/// What is promised of a `Stream` holds here too: a step allocates nothing, takes no lock, starts no thread and makes no
/// system call.
///
/// ```
/// use elman::{Lstm, Rng, Streams};
///
/// let model = Lstm::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1))?;
/// let mut stereo = Streams::new(model, 2)?;
/// let mut y = [0.0; 2];
/// for [left, right] in [[0.1, 0.2], [0.3, 0.4]] {
///     stereo.step(&[left, right], &mut y)?;
/// }
/// stereo.reset_row(1)?; // The right channel begins anew, the left one goes on.
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Streams(Core);

impl Streams {
    /// `rows` rows that begin in the model's own state, or in zeros.
    ///
    /// # Errors
    /// As [`Stream::new`](crate::Stream::new); [`ErrorKind::Setting`](crate::ErrorKind::Setting) for 0 rows,
    /// [`ErrorKind::Overflow`](crate::ErrorKind::Overflow) for more than can be addressed.
    pub fn new(model: impl Into<Arc<Model>>, rows: usize) -> Result<Self> {
        Core::new(model.into(), rows, 1.0).map(Self)
    }

    /// The same at a sample rate of `ratio` times the model's:
    /// [`Stream::with_rate_ratio`](crate::Stream::with_rate_ratio).
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ErrorKind::Setting`](crate::ErrorKind::Setting) for a ratio below 1.
    pub fn with_rate_ratio(model: impl Into<Arc<Model>>, rows: usize, ratio: f64) -> Result<Self> {
        Core::new(model.into(), rows, ratio).map(Self)
    }

    /// The same rows after `steps` steps of zeros, as [`Stream::prewarmed`](crate::Stream::prewarmed): what
    /// [`reset`](Self::reset) and [`reset_row`](Self::reset_row) come back to.
    #[must_use]
    pub fn prewarmed(mut self, steps: usize) -> Self {
        self.0.prewarm(steps);
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.0.model
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.rows()
    }

    /// One step of every row: `x` (rows, inputs) and `y` (rows, outputs), row-major.
    ///
    /// # Errors
    /// [`ErrorKind::Length`](crate::ErrorKind::Length) naming `x` or `y`; for an embedding,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) where an `x` is not an index of its vocabulary. All states are then as
    /// they were.
    #[inline]
    pub fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.0.step(x, y)
    }

    /// One step of a model whose first layer is an embedding: an index for each row.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for an index outside the vocabulary,
    /// [`ErrorKind::Setting`](crate::ErrorKind::Setting) where the first layer is another,
    /// [`ErrorKind::Length`](crate::ErrorKind::Length) naming `indices` or `y`. All states are then as they were.
    pub fn step_index(&mut self, indices: &[u32], y: &mut [f32]) -> Result<()> {
        self.0.step_index(indices, y)
    }

    /// Some steps: `x` (steps, rows, inputs) and `y` (steps, rows, outputs), row-major. What one call of
    /// [`step`](Self::step) for each of them would give, in less time.
    ///
    /// # Errors
    /// As [`step`](Self::step); an `x` that is no whole number of steps names what whole steps would have.
    pub fn block(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.0.block(x, y)
    }

    /// Goes back to the state in which the rows began.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// The same for one row; the others go on.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a row that is not there.
    pub fn reset_row(&mut self, row: usize) -> Result<()> {
        self.0.reset_row(row)
    }

    /// The state of a row after its last step, as [`Stream::state`](crate::Stream::state) gives it: either can go on from
    /// the other's. Allocates; [`state_into`](Self::state_into) does not.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a row that is not there,
    /// [`ErrorKind::Memory`](crate::ErrorKind::Memory).
    pub fn state(&self, row: usize) -> Result<State> {
        self.0.state(row)
    }

    /// Copies the state of a row after its last step into `state`, which has the sizes of what [`state`](Self::state)
    /// gives.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a row that is not there,
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for a state of another model, or of another
    /// number of rows.
    pub fn state_into(&self, row: usize, state: &mut State) -> Result<()> {
        self.0.state_into(row, state)
    }

    /// A row goes on from `state`.
    ///
    /// # Errors
    /// As [`state_into`](Self::state_into); the row is then as it was.
    pub fn set_state(&mut self, row: usize, state: &State) -> Result<()> {
        self.0.set_state(row, state)
    }
}
