//! The states of a network before or after a sequence.

use crate::error::{Result, check_shape, elements};
use crate::layer::Sizes;
use crate::tensor::{Buffer, SeqRef};

/// h, and an LSTM's c, of every layer and direction: PyTorch's h_0 and c_0, or h_n and c_n, or their gradients.
///
/// Row-major and one behind the other: layer 0 forward, layer 0 reverse where there is one, layer 1 forward, and so on,
/// each (B, H). Where all layers have one size that is PyTorch's (D·layers, B, H); with a projection h is
/// (D·layers, B, P). Never batch-first.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::{Lstm, Rng, Threads, Workspace};
///
/// let model = Lstm::builder(3, 8).num_layers(2).model(&mut Rng::new(1))?;
/// let mut state = model.zero_state(4)?; // for 4 rows
/// assert_eq!((state.h_shape(), state.c_shape()), ([2, 4, 8], [2, 4, 8]));
/// state.h_mut().fill(0.5);
///
/// let (x, mut workspace) = (Seq::zeros(5, 4, 3)?, Workspace::default());
/// let output = model.run_with(&x, Some(&state), &mut workspace, Threads::one())?;
/// // The upper layer gives out its h, so its h after 5 steps is the last step of the output.
/// let upper = output.state().h_of(1).expect("there are two layers");
/// assert_eq!(upper.flat(), output.values().narrow_steps(4, 1).flat());
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    h: StatePart,
    c: StatePart,
    batch: usize,
}

/// h or c.
#[derive(Clone, Debug, Default, PartialEq)]
struct StatePart {
    data: Buffer,
    /// Of each layer and direction; 0 where there is no c.
    widths: Vec<usize>,
}

impl StatePart {
    fn range(&self, batch: usize, layer: usize) -> std::ops::Range<usize> {
        let first = batch * self.widths[..layer].iter().sum::<usize>();
        first..first + batch * self.widths[layer]
    }

    fn of(&self, batch: usize, layer: usize) -> Option<SeqRef<'_>> {
        let &width = self.widths.get(layer).filter(|&&width| width > 0)?;
        Some(SeqRef::new(&self.data[self.range(batch, layer)], 1, batch, width).expect("the range has that shape"))
    }

    /// (D·layers, B, widest): the shape where all layers have one size.
    fn shape(&self, batch: usize) -> [usize; 3] {
        let widest = self.widths.iter().copied().max().unwrap_or(0);
        let layers = self.widths.iter().filter(|&&width| width > 0).count();
        if widest == 0 { [0; 3] } else { [layers, batch, widest] }
    }

    fn permute(&mut self, from: &Self, batch: usize, place: impl Fn(usize) -> (usize, usize)) {
        for layer in 0..self.widths.len() {
            let (width, first) = (self.widths[layer], self.range(batch, layer).start);
            for i in 0..batch {
                let (to, at) = place(i);
                let row = &from.data[first + at * width..][..width];
                self.data[first + to * width..][..width].copy_from_slice(row);
            }
        }
    }
}

impl State {
    /// Makes it zeros for these layers and that batch; allocates only to grow.
    pub(crate) fn zero(&mut self, layers: impl Iterator<Item = Sizes> + Clone, batch: usize) -> Result<()> {
        self.shape_for(layers, batch)?;
        self.h.data.fill(0.0);
        self.c.data.fill(0.0);
        Ok(())
    }

    /// Gives it the shape for these layers; what it holds is unspecified.
    pub(crate) fn shape_for(&mut self, layers: impl Iterator<Item = Sizes> + Clone, batch: usize) -> Result<()> {
        let Self { h, c, .. } = self;
        h.widths.clear();
        h.widths.extend(layers.clone().map(|sizes| sizes.output()));
        c.widths.clear();
        c.widths.extend(layers.map(cell_width));
        for (name, part) in [("h_0", h), ("c_0", c)] {
            let width =
                part.widths.iter().try_fold(0_usize, |sum, &width| sum.checked_add(width)).unwrap_or(usize::MAX);
            part.data.try_resize(name, elements(name, &[batch, width])?)?;
        }
        self.batch = batch;
        Ok(())
    }

    /// Makes it the same as `other`; allocates only to grow.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) where there is not as much; it is then as it was.
    pub fn copy_from(&mut self, other: &Self) -> Result<()> {
        self.h.data.try_reserve("h_0", other.h.data.len())?;
        self.c.data.try_reserve("c_0", other.c.data.len())?;
        for (name, to, from) in [("h_0", &mut self.h, &other.h), ("c_0", &mut self.c, &other.c)] {
            to.data.try_resize(name, from.data.len())?;
            to.data.copy_from_slice(&from.data);
            to.widths.clone_from(&from.widths);
        }
        self.batch = other.batch;
        Ok(())
    }

    /// Rows of the batch.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// h of all layers, row-major: (D·layers, B, H) where they have one size.
    #[must_use]
    pub fn h(&self) -> &[f32] {
        &self.h.data
    }

    /// h, to be written.
    pub fn h_mut(&mut self) -> &mut [f32] {
        &mut self.h.data
    }

    /// An LSTM's c of all layers, row-major: (D·layers, B, H) where they have one size. Empty for other networks.
    #[must_use]
    pub fn c(&self) -> &[f32] {
        &self.c.data
    }

    /// c, to be written.
    pub fn c_mut(&mut self) -> &mut [f32] {
        &mut self.c.data
    }

    /// The shape of h: D·layers, B, and H or P (the largest, where layers differ).
    #[must_use]
    pub fn h_shape(&self) -> [usize; 3] {
        self.h.shape(self.batch)
    }

    /// The shape of c: D·layers, B, H (the largest, where layers differ); zeros for networks that are no LSTM.
    #[must_use]
    pub fn c_shape(&self) -> [usize; 3] {
        self.c.shape(self.batch)
    }

    /// h of a layer and direction, (1, B, H or P): index layer·D + direction. `None` where there is no such layer.
    #[must_use]
    pub fn h_of(&self, index: usize) -> Option<SeqRef<'_>> {
        self.h.of(self.batch, index)
    }

    /// c of a layer and direction, (1, B, H). `None` where there is no such layer, or it is no LSTM's.
    #[must_use]
    pub fn c_of(&self, index: usize) -> Option<SeqRef<'_>> {
        self.c.of(self.batch, index)
    }

    /// h and c of a layer and direction, to be written.
    pub(crate) fn of_mut(&mut self, index: usize) -> (&mut [f32], Option<&mut [f32]>) {
        let (h, c) = (self.h.range(self.batch, index), self.c.range(self.batch, index));
        let has_c = self.c.widths[index] > 0;
        (&mut self.h.data[h], has_c.then(|| &mut self.c.data[c]))
    }

    /// That it is of these layers and that batch.
    pub(crate) fn check(
        &self,
        names: [&str; 2],
        layers: impl Iterator<Item = Sizes> + Clone,
        batch: usize,
    ) -> Result<()> {
        let shape = |widths: &mut dyn Iterator<Item = usize>| {
            let (n, widest) =
                widths.filter(|&width| width > 0).fold((0, 0), |(n, widest), width| (n + 1, widest.max(width)));
            if n == 0 { [0; 3] } else { [n, batch, widest] }
        };
        check_shape(names[0], &shape(&mut layers.clone().map(|sizes| sizes.output())), &self.h_shape())?;
        check_shape(names[1], &shape(&mut layers.clone().map(cell_width)), &self.c_shape())?;
        // Layers of different sizes can agree in number and in the largest.
        check_widths(names[0], layers.clone().map(|sizes| sizes.output()), &self.h.widths)?;
        check_widths(names[1], layers.map(cell_width), &self.c.widths)
    }

    /// Sets row i to row `sorted[i]` of `from`.
    pub(crate) fn sort(&mut self, from: &Self, sorted: &[usize]) {
        self.h.permute(&from.h, self.batch, |i| (i, sorted[i]));
        self.c.permute(&from.c, self.batch, |i| (i, sorted[i]));
    }

    /// Sets row `sorted[i]` to row i of `from`.
    pub(crate) fn unsort(&mut self, from: &Self, sorted: &[usize]) {
        self.h.permute(&from.h, self.batch, |i| (sorted[i], i));
        self.c.permute(&from.c, self.batch, |i| (sorted[i], i));
    }
}

/// The width of a layer's cell state; 0 where it has none.
fn cell_width(sizes: Sizes) -> usize {
    if sizes.cell.facts().has_cell_state() { sizes.hidden } else { 0 }
}

fn check_widths(name: &str, expected: impl Iterator<Item = usize> + Clone, got: &[usize]) -> Result<()> {
    if expected.clone().eq(got.iter().copied()) {
        Ok(())
    } else {
        check_shape(&format!("sizes of {name}"), &expected.collect::<Vec<_>>(), got)
    }
}
