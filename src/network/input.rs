//! What a network reads: a batch in one of the forms that PyTorch's take.

use crate::error::{Error, Result};
use crate::tensor::{PackedRef, PackedSequence, Seq, SeqRef};

/// A batch of sequences: padded to one length, a single one, or packed. With it, where new sequences begin.
///
/// ```
/// use elman::Input;
/// use elman::tensor::{PackedSequence, Seq};
///
/// let padded = Seq::zeros(7, 2, 3)?; // (T, B, I), or (B, T, I) with batch_first
/// let input = Input::from(&padded);
///
/// let input = Input::unbatched(&[0.5; 21], 3)?; // (T, I)
///
/// let packed = PackedSequence::from_padded(padded.view(), &[7, 4])?;
/// let input = Input::from(&packed);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) resets: Option<&'a [bool]>,
}

/// Where a batch's rows are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// (T, B, I) or, batch-first, (B, T, I).
    Padded(SeqRef<'a>),
    /// (T, 1, I), whatever the network's order.
    Unbatched(SeqRef<'a>),
    Packed(PackedRef<'a>),
    /// One index a step, as the batch is: (T, B) or, batch-first, (B, T).
    Indices {
        indices: &'a [u32],
        steps: usize,
        batch: usize,
    },
}

impl<'a> Input<'a> {
    /// A single sequence (T, I), row-major, of `width` features.
    ///
    /// # Errors
    /// [`Error::Length`] naming `input` where `data` is not whole steps, [`Error::Setting`] for a width of 0.
    pub fn unbatched(data: &'a [f32], width: usize) -> Result<Self> {
        crate::error::at_least_one("input_size", width)?;
        let steps = data.len() / width;
        if steps * width != data.len() {
            return Err(Error::length("input", &[steps, width], data.len()));
        }
        Ok(Self { source: Source::Unbatched(SeqRef::new(data, steps, 1, width)?), resets: None })
    }

    /// One index a step for a model that begins with an embedding: (T, B), or (B, T) of one that is batch-first, row-major;
    /// `first` and `second` are those sizes. Packed batches of indices are packed sequences of width 1.
    ///
    /// # Errors
    /// [`Error::Length`] naming `input` where there are not `first * second`.
    pub fn indices(indices: &'a [u32], first: usize, second: usize) -> Result<Self> {
        if crate::error::elements("input", &[first, second])? != indices.len() {
            return Err(Error::length("input", &[first, second], indices.len()));
        }
        Ok(Self { source: Source::Indices { indices, steps: first, batch: second }, resets: None })
    }

    /// Rows of all steps.
    pub(crate) fn rows(&self) -> usize {
        match self.source {
            Source::Padded(x) | Source::Unbatched(x) => x.lines().total(),
            Source::Packed(packed) => packed.seq().lines().total(),
            Source::Indices { indices, .. } => indices.len(),
        }
    }

    /// The same batch with a mask that says where new sequences begin: no state passes between such a step and the one
    /// before, in either direction, and no gradient. The mask lies as the input does: (T, B) or, batch-first, (B, T);
    /// unbatched (T); of a packed batch, one for each row of its data.
    ///
    /// A forward layer takes zeros, and not h_0, before a first step that is marked. On a reverse layer a mark at the
    /// first step has no effect.
    #[must_use]
    pub fn resets(self, mask: &'a [bool]) -> Self {
        Self { resets: Some(mask), ..self }
    }
}

impl<'a> From<SeqRef<'a>> for Input<'a> {
    fn from(x: SeqRef<'a>) -> Self {
        Self { source: Source::Padded(x), resets: None }
    }
}

impl<'a> From<&'a Seq> for Input<'a> {
    fn from(x: &'a Seq) -> Self {
        x.view().into()
    }
}

impl<'a> From<PackedRef<'a>> for Input<'a> {
    fn from(x: PackedRef<'a>) -> Self {
        Self { source: Source::Packed(x), resets: None }
    }
}

impl<'a> From<&'a PackedSequence> for Input<'a> {
    fn from(x: &'a PackedSequence) -> Self {
        x.view().into()
    }
}
