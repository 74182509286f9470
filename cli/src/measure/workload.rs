//! A network, a batch, and what is to be done with it: which workloads there are, their arithmetic, and their prediction.

use std::fmt;
use std::str::FromStr;

use elman::internals::{Cell, Cost, Kernels, Machine, Plan, Shape, Work};
use elman::{Error, Nonlinearity, Result, Threads};

/// What is done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward over the whole sequence.
    Infer,
    /// Forward, mean squared error, backward, and a step of Adam.
    Train,
    /// Forward one step a call, the state kept by the caller.
    Step,
    /// [`elman::Stream`], or [`elman::Streams`] for several rows: step by step or block by block, on one thread.
    Stream,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Infer => "infer",
            Mode::Train => "train",
            Mode::Step => "step",
            Mode::Stream => "stream",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "infer" => Ok(Mode::Infer),
            "train" => Ok(Mode::Train),
            "step" => Ok(Mode::Step),
            "stream" => Ok(Mode::Stream),
            _ => Err(Error::setting("mode", "'infer', 'train', 'step' or 'stream'", format_args!("'{name}'"))),
        }
    }
}

/// Work to be timed.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// What every layer computes.
    pub cell: Cell,
    /// What is done.
    pub mode: Mode,
    /// Features (I).
    pub input: usize,
    /// Hidden units of every layer (H).
    pub hidden: usize,
    /// Rows (B), side by side.
    pub batch: usize,
    /// Steps (T); of a ragged batch, of the longest row there may be.
    pub steps: usize,
    /// Layers one above the other (L), each of `hidden` units.
    pub layers: usize,
    /// Whether every layer goes both ways.
    pub bidirectional: bool,
    /// Whether rows have lengths drawn from T/4 to T, packed.
    pub ragged: bool,
    /// Outputs of a stream's linear head; 0 for none.
    pub head: usize,
    /// Steps of a stream that one call takes; 1 for [`elman::Stream::step`].
    pub block: usize,
    /// Of a stream: whether a call's outputs are the next one's inputs. Otherwise the input is a signal.
    pub feedback: bool,
    /// Of a stream: helper threads of its own.
    pub helpers: usize,
    /// Threads that may be used.
    pub threads: Threads,
    /// The kernels to run on.
    pub kernels: &'static Kernels,
}

impl Workload {
    /// A square layer, H features in, of one layer and direction.
    #[must_use]
    pub fn square(cell: Cell, mode: Mode, hidden: usize, [batch, steps]: [usize; 2], threads: Threads) -> Self {
        let (input, kernels) = (hidden, Kernels::best());
        Self {
            cell,
            mode,
            input,
            hidden,
            batch,
            steps,
            layers: 1,
            bidirectional: false,
            ragged: false,
            head: 0,
            block: 1,
            feedback: false,
            helpers: 0,
            threads,
            kernels,
        }
    }

    /// A stream of one feature with a linear head of one output, such as a sample of audio in and out; runs of some
    /// milliseconds at least, which are long beside what they begin with, and of seconds at most.
    #[must_use]
    pub fn stream(cell: Cell, hidden: usize, kernels: &'static Kernels) -> Self {
        let steps = Self::stream_steps(hidden);
        Self { input: 1, head: 1, kernels, ..Self::square(cell, Mode::Stream, hidden, [1, steps], Threads::one()) }
    }

    /// How many steps a run of a stream is made of, unless told.
    #[must_use]
    pub fn stream_steps(hidden: usize) -> usize {
        match hidden {
            0..=64 => 100_000,
            65..=256 => 10_000,
            _ => 1_000,
        }
    }

    /// Steps of a stream's blocks that are timed one by one: a usual buffer of audio where the runs go step by step.
    #[must_use]
    pub fn timed_block(&self) -> usize {
        if self.block > 1 { self.block } else { 64 }
    }

    /// The workloads that this engine is held against its peers by.
    #[must_use]
    pub fn table(threads: Threads, kernels: &'static Kernels) -> Vec<Self> {
        use Mode::{Infer, Step, Train};
        let elman = Cell::Elman(Nonlinearity::Tanh);
        let mut table = Vec::new();
        for cell in [elman, Cell::Gru, Cell::Lstm] {
            let mut add =
                |mode, hidden, shape| table.push(Self { kernels, ..Self::square(cell, mode, hidden, shape, threads) });
            for mode in [Infer, Train] {
                if mode == Train {
                    add(mode, 64, [32, 100]);
                }
                for (hidden, steps) in [(128, 100), (256, 100), (512, 100), (1024, 50)] {
                    add(mode, hidden, [64, steps]);
                }
                if cell == elman {
                    add(mode, 1760, [32, 50]);
                }
            }
            for (hidden, steps) in [(128, 100), (256, 100), (512, 100), (1024, 50)] {
                add(Infer, hidden, [1, steps]);
            }
            for hidden in [16, 32, 64, 256, 1024] {
                add(Step, hidden, [1, 100]);
            }
            for hidden in [8, 16, 32, 64, 256, 1024] {
                table.push(Self::stream(cell, hidden, kernels));
            }
        }
        table
    }

    /// A part of the table that takes a fifth of its time: of each cell a batch in inference and in training, one row as a
    /// whole and step by step, and a stream.
    #[must_use]
    pub fn quick_table(threads: Threads, kernels: &'static Kernels) -> Vec<Self> {
        let mut table = Self::table(threads, kernels);
        table.retain(|load| {
            matches!(
                (load.mode, load.hidden, load.batch),
                (Mode::Infer, 256, _) | (Mode::Train, 64, _) | (Mode::Step | Mode::Stream, 32, _)
            )
        });
        table
    }

    /// The same with half the steps, and half of those, until a run is of at most that many FLOP or one step.
    #[must_use]
    pub fn shortened(self, flop: f64) -> Self {
        let mut load = self;
        while load.steps > 1 && load.flop(load.batch * load.steps) > flop {
            load.steps /= 2;
        }
        load
    }

    /// Floating-point operations of one run over `tokens` steps of all rows: 2·G·H·(I + H) a token, layer and direction,
    /// three times that in training; 2·H·O for the head.
    #[must_use]
    pub fn flop(&self, tokens: usize) -> f64 {
        let directions = if self.bidirectional { 2 } else { 1 };
        let layer = |input: usize| {
            let shape = Shape { cell: self.cell, input, hidden: self.hidden, projection: 0, batch: 1, steps: 1 };
            shape.flop() * directions as f64
        };
        let above = self.layers.saturating_sub(1) as f64 * layer(directions * self.hidden);
        let training = if self.mode == Mode::Train { 3.0 } else { 1.0 };
        let head = 2.0 * (self.hidden * self.head) as f64;
        training * tokens as f64 * (layer(self.input) + above + head)
    }

    /// The shape of the first layer and, where they differ from it, of the others, with their schedules and how many
    /// layers and directions there are of each. Where a call is one step, they are of one step.
    ///
    /// # Errors
    /// [`Error::Overflow`] where such a sequence cannot be addressed.
    pub fn plans(&self) -> Result<Vec<(Shape, Plan, usize)>> {
        let Self { input, hidden, batch, layers, .. } = *self;
        let directions = if self.bidirectional { 2 } else { 1 };
        let steps = if self.mode == Mode::Step { 1 } else { self.steps };
        let shape = |input| Shape { cell: self.cell, input, hidden, projection: 0, batch, steps };
        let mut shapes = vec![(shape(input), directions)];
        if layers > 1 {
            let above = (layers - 1) * directions;
            if input == directions * hidden {
                shapes[0].1 += above;
            } else {
                shapes.push((shape(directions * hidden), above));
            }
        }
        let work = if self.mode == Mode::Train { Work::Train { d_input: false } } else { Work::Infer };
        let plan = |(shape, count): (Shape, usize)| {
            shape.check()?;
            Ok((shape, Plan::new(shape, work, self.threads, self.kernels.isa()), count))
        };
        shapes.into_iter().map(plan).collect()
    }

    /// How long one run should take on a machine. A ragged batch counts as one of as many full rows of its mean length,
    /// 5/8 of the steps; what lies between the layers does not count.
    ///
    /// # Errors
    /// As [`measure`](Self::measure), and [`Error::Setting`] for limits that are no positive numbers and for
    /// a stream, which no schedule cuts.
    pub fn predict(&self, machine: &Machine) -> Result<Cost> {
        machine.check()?;
        self.check()?;
        if self.mode == Mode::Stream {
            return Err(Error::setting("mode", "infer, train or step, whose time is predicted", "stream"));
        }
        let mut prediction = Cost::default();
        for (i, (shape, plan, count)) in self.plans()?.into_iter().enumerate() {
            let shape = if self.ragged { Shape { steps: (5 * shape.steps).div_ceil(8), ..shape } } else { shape };
            for layer in 0..count {
                // Of the first layer, the first ones of the first shape.
                let first = i == 0 && layer < if self.bidirectional { 2 } else { 1 };
                let work = if self.mode == Mode::Train { Work::Train { d_input: !first } } else { Work::Infer };
                prediction += plan.predict(shape, work, machine);
            }
        }
        let tokens = self.predicted_tokens();
        match self.mode {
            Mode::Infer | Mode::Stream => {}
            Mode::Step => prediction = prediction * self.steps as f64,
            Mode::Train => {
                let directions = if self.bidirectional { 2.0 } else { 1.0 };
                prediction = prediction.with_loss(tokens as f64 * directions * self.hidden as f64, machine);
            }
        }
        Ok(prediction)
    }

    /// Steps of all rows that a prediction is of.
    #[must_use]
    pub fn predicted_tokens(&self) -> usize {
        self.batch * if self.ragged { (5 * self.steps).div_ceil(8) } else { self.steps }
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, size) in [
            ("input", self.input),
            ("hidden", self.hidden),
            ("batch", self.batch),
            ("steps", self.steps),
            ("layers", self.layers),
            ("block", self.block),
        ] {
            at_least_one(name, size)?;
        }
        if matches!(self.mode, Mode::Step | Mode::Stream) && (self.ragged || self.bidirectional) {
            let expected = "a batch that is neither ragged nor bidirectional";
            return Err(Error::setting(&self.mode.to_string(), expected, "one that is"));
        }
        Ok(())
    }
}

/// A size that must be at least one.
fn at_least_one(name: &str, size: usize) -> Result<()> {
    if size == 0 { Err(Error::setting(name, "at least 1", size)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(mode: Mode) -> Workload {
        let threads = Threads::one();
        Workload { layers: 2, ..Workload::square(Cell::Gru, mode, 8, [3, 5], threads) }
    }

    #[test]
    fn flop_are_those_of_all_layers_and_directions() {
        // 2 layers of 2·3·8·(8 + 8) a token.
        assert_eq!(small(Mode::Infer).flop(15), 15.0 * 2.0 * 768.0);
        // 2·3·8·(8 + 8) and 2·3·8·(16 + 8), both ways; training counts three times.
        let load = Workload { bidirectional: true, ..small(Mode::Train) };
        assert_eq!(load.flop(1), 3.0 * 2.0 * (768.0 + 1152.0));
    }

    #[test]
    fn layers_of_one_shape_share_a_plan() {
        let counts =
            |load: Workload| load.plans().unwrap().iter().map(|(shape, _, n)| (shape.input, *n)).collect::<Vec<_>>();
        let load = Workload { layers: 3, ..small(Mode::Infer) };
        assert_eq!(counts(load), [(8, 3)]);
        assert_eq!(counts(Workload { input: 5, ..load }), [(5, 1), (8, 2)]);
        assert_eq!(counts(Workload { bidirectional: true, ..load }), [(8, 2), (16, 4)]);
        assert_eq!(load.plans().unwrap()[0].0.steps, 5);
        assert_eq!(Workload { mode: Mode::Step, ..load }.plans().unwrap()[0].0.steps, 1);
    }

    #[test]
    fn what_cannot_be_run_is_not_predicted_either() {
        let load = Workload { batch: 0, ..small(Mode::Infer) };
        let text = "batch: expected at least 1, got 0";
        assert_eq!(load.predict(&Machine::default()).unwrap_err().to_string(), text);
        let error = Workload::stream(Cell::Gru, 8, Kernels::best()).predict(&Machine::default()).unwrap_err();
        assert!(error.to_string().starts_with("mode: expected infer, train or step"), "{error}");
    }

    #[test]
    fn the_short_table_is_a_part_of_the_whole_one() {
        let kernels = Kernels::best();
        let key = |load: &Workload| (load.cell, load.mode as usize, load.hidden, load.batch, load.steps);
        let whole: Vec<_> = Workload::table(Threads::one(), kernels).iter().map(key).collect();
        let quick = Workload::quick_table(Threads::one(), kernels);
        assert_eq!(quick.len(), 15);
        assert!(quick.iter().all(|load| whole.contains(&key(load))), "{quick:?}");
    }

    #[test]
    fn long_runs_are_made_shorter_and_short_ones_left() {
        let long = Workload::square(Cell::Lstm, Mode::Train, 1024, [64, 50], Threads::one());
        // 161 GFLOP, 80, 39.
        assert_eq!(long.shortened(40e9).steps, 12);
        let short = small(Mode::Infer);
        assert_eq!(short.shortened(40e9).steps, short.steps);
        assert_eq!(Workload { steps: 1, ..long }.shortened(1.0).steps, 1);
    }
}
