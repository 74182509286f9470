//! A network, a batch, and what is to be done with it.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use super::{fma_peak, median};
use elman::Rng;
use elman::Threads;
use elman::internals::Kernels;
use elman::internals::{BackwardArgs, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::internals::{Machine, Plan, Prediction, Shape, Work as Pieces};
use elman::loss;
use elman::optim::{Adam, AdamConfig, Optimizer};
use elman::tensor::{PackedSequence, Seq, SeqRef};
use elman::{Cell, Nonlinearity};
use elman::{Error, Result};
use elman::{Input, State};
use elman::{ParamTable, Params};

/// What is done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward over the whole sequence.
    Infer,
    /// Forward, mean squared error, backward, and a step of Adam.
    Train,
    /// Forward one step at a time, the state kept by the caller.
    Stream,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Infer => "infer",
            Mode::Train => "train",
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
            "stream" => Ok(Mode::Stream),
            _ => Err(Error::setting("mode", "'infer', 'train' or 'stream'", format_args!("'{name}'"))),
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
    /// Rows (B).
    pub batch: usize,
    /// Steps (T); of a ragged batch, of the longest row there may be.
    pub steps: usize,
    /// Layers.
    pub layers: usize,
    /// Whether every layer goes both ways.
    pub bidirectional: bool,
    /// Whether rows have lengths drawn from T/4 to T, packed.
    pub ragged: bool,
    /// Threads that may be used.
    pub threads: Threads,
    /// The kernels to run on.
    pub kernels: &'static Kernels,
}

/// How long a workload took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Times that it ran, the first not counted.
    pub turns: usize,
    /// Of one run, in seconds.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// The distance between the quartiles as a share of the median.
    pub noise: f64,
    /// FLOP/s of the median.
    pub flops: f64,
    /// The FMA peak of as many threads in FLOP/s, the median of turns in between.
    pub peak: f64,
    /// Steps of all rows that one run takes.
    pub tokens: usize,
    /// Seconds a step of the batch.
    pub per_step: f64,
}

impl Measurement {
    /// The share of the peak.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.flops / self.peak
    }
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
            threads,
            kernels,
        }
    }

    /// The workloads that this engine is held against its peers by.
    #[must_use]
    pub fn table(threads: Threads, kernels: &'static Kernels) -> Vec<Self> {
        use Mode::{Infer, Stream, Train};
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
                add(Stream, hidden, [1, 100]);
            }
        }
        table
    }

    /// Floating-point operations of one run over `tokens` steps of all rows: 2·G·H·(I + H) a token, layer and direction,
    /// three times that in training.
    #[must_use]
    pub fn flop(&self, tokens: usize) -> f64 {
        let directions = if self.bidirectional { 2 } else { 1 };
        let layer = |input: usize| {
            let shape =
                Shape { gates: self.cell.gates(), input, hidden: self.hidden, projection: 0, batch: 1, steps: 1 };
            shape.flop() * directions as f64
        };
        let above = self.layers.saturating_sub(1) as f64 * layer(directions * self.hidden);
        let training = if self.mode == Mode::Train { 3.0 } else { 1.0 };
        training * tokens as f64 * (layer(self.input) + above)
    }

    /// The shape of the first layer and, where they differ from it, of the others, with their schedules and how many
    /// layers and directions there are of each. A stream's are of one step.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plans(&self) -> Result<Vec<(Shape, Plan, usize)>> {
        let Self { input, hidden, batch, layers, .. } = *self;
        let directions = if self.bidirectional { 2 } else { 1 };
        let steps = if self.mode == Mode::Stream { 1 } else { self.steps };
        let shape = |input| Shape { gates: self.cell.gates(), input, hidden, projection: 0, batch, steps };
        let mut shapes = vec![(shape(input), directions)];
        if layers > 1 {
            let above = (layers - 1) * directions;
            if input == directions * hidden {
                shapes[0].1 += above;
            } else {
                shapes.push((shape(directions * hidden), above));
            }
        }
        let plan = |(shape, count)| Ok((shape, Plan::new(shape, self.threads, self.kernels.isa())?, count));
        shapes.into_iter().map(plan).collect()
    }

    /// How long one run should take on a machine. A ragged batch counts as one of as many full rows of its mean length,
    /// 5/8 of the steps; what lies between the layers does not count.
    ///
    /// # Errors
    /// As [`measure`](Self::measure), and [`Error::Setting`] for limits that are no positive numbers.
    pub fn predict(&self, machine: &Machine) -> Result<Prediction> {
        machine.check()?;
        self.check()?;
        let mut prediction = Prediction::default();
        for (i, (shape, plan, count)) in self.plans()?.into_iter().enumerate() {
            let shape = if self.ragged { Shape { steps: (5 * shape.steps).div_ceil(8), ..shape } } else { shape };
            for layer in 0..count {
                // Of the first layer, the first ones of the first shape.
                let first = i == 0 && layer < if self.bidirectional { 2 } else { 1 };
                let work = if self.mode == Mode::Train { Pieces::Train { d_input: !first } } else { Pieces::Infer };
                prediction += plan.predict(shape, work, machine);
            }
        }
        let tokens = self.predicted_tokens();
        match self.mode {
            Mode::Infer => {}
            Mode::Stream => prediction = prediction * self.steps as f64,
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

    fn check(&self) -> Result<()> {
        for (name, size) in [
            ("input", self.input),
            ("hidden", self.hidden),
            ("batch", self.batch),
            ("steps", self.steps),
            ("layers", self.layers),
        ] {
            at_least_one(name, size)?;
        }
        if self.mode == Mode::Stream && (self.ragged || self.bidirectional) {
            return Err(Error::setting("stream", "a batch that is neither ragged nor bidirectional", "one that is"));
        }
        Ok(())
    }

    /// Runs it for about that many seconds, five times at least, turn by turn with the FMA peak.
    ///
    /// # Errors
    /// [`Error::Setting`] for sizes of zero, and for a stream that is ragged or bidirectional;
    /// [`Error::Overflow`] for sizes that cannot be addressed.
    pub fn measure(&self, seconds: f64) -> Result<Measurement> {
        // As a loop in a user's program would be that knows what a way into the pool costs.
        self.threads.inside(|| self.measure_inside(seconds))
    }

    fn measure_inside(&self, seconds: f64) -> Result<Measurement> {
        let mut work = Work::new(self)?;
        let (mut times, mut peaks) = (Vec::new(), Vec::new());
        // Caches, memory and clock.
        work.run()?;
        let start = Instant::now();
        while times.len() < 5 || start.elapsed().as_secs_f64() < seconds {
            peaks.push(fma_peak(self.kernels, self.threads));
            // As long as a turn of the peak, so that short work is not lost beside it.
            let turn = Instant::now();
            loop {
                let one = Instant::now();
                work.run()?;
                times.push(one.elapsed().as_secs_f64());
                if turn.elapsed().as_secs_f64() > 0.01 {
                    break;
                }
            }
        }
        let (median_time, peak) = (median(&mut times), median(&mut peaks));
        let quartile = |share: usize| times[times.len() * share / 4];
        let tokens = work.tokens();
        Ok(Measurement {
            turns: times.len(),
            median: median_time,
            min: times[0],
            noise: (quartile(3) - quartile(1)) / median_time,
            flops: self.flop(tokens) / median_time,
            peak,
            tokens,
            per_step: median_time / self.steps as f64,
        })
    }
}

/// A workload with its data and memory.
struct Work<'a> {
    load: &'a Workload,
    network: Recurrent,
    params: Params,
    gradients: Params,
    adam: Adam,
    x: Seq,
    packed: Option<PackedSequence>,
    target: Seq,
    d_y: Seq,
    state: State,
    pass: RecurrentWorkspace,
}

impl<'a> Work<'a> {
    fn new(load: &'a Workload) -> Result<Self> {
        let Workload { cell, input, hidden, batch, steps, layers, bidirectional, ragged, kernels, .. } = *load;
        load.check()?;
        let config = NetworkConfig {
            bidirectional,
            kernels: Some(kernels),
            ..NetworkConfig::new(cell, input, vec![hidden; layers])
        };
        let mut layout = ParamTable::new();
        let mut network = Recurrent::new(config, &mut layout, "")?;
        let mut params = Params::zeros(layout);
        let mut rng = Rng::new(1);
        network.init(&mut params, &mut rng);
        network.load(&params)?;
        let mut x = Seq::zeros(steps, batch, input)?;
        x.data_mut().iter_mut().for_each(|x| *x = rng.uniform(-1.0, 1.0));
        let packed = if ragged {
            let lengths: Vec<usize> = (0..batch).map(|_| steps - rng.below(steps - steps / 4 + 1).min(steps)).collect();
            Some(PackedSequence::from_padded(x.view(), &lengths)?)
        } else {
            None
        };
        // Of a packed batch, all its rows as one step's.
        let [target_steps, target_batch] = match &packed {
            Some(packed) => [1, packed.data().len() / input],
            None => [steps, batch],
        };
        let target = Seq::zeros(target_steps, target_batch, network.output_size())?;
        let (gradients, state) = (params.zeros_like(), network.zero_state(batch)?);
        let adam = Adam::new(&params, AdamConfig::default().isa(load.kernels.isa()))?;
        let d_y = target.clone();
        Ok(Self {
            load,
            network,
            params,
            gradients,
            adam,
            x,
            packed,
            target,
            d_y,
            state,
            pass: RecurrentWorkspace::default(),
        })
    }

    /// Steps of all rows.
    fn tokens(&self) -> usize {
        match &self.packed {
            Some(packed) => packed.data().len() / self.load.input,
            None => self.load.batch * self.load.steps,
        }
    }

    fn run(&mut self) -> Result<()> {
        let Self { load, network, params, gradients, adam, x, packed, target, d_y, state, pass } = self;
        let threads = load.threads;
        let input: Input<'_> = packed.as_ref().map_or_else(|| (&*x).into(), Input::from);
        match load.mode {
            Mode::Infer => network.forward(input, None, pass, threads),
            Mode::Stream => {
                for t in 0..load.steps {
                    network.forward(x.view().steps(t, 1), Some(state), pass, threads)?;
                    state.copy_from(pass.state());
                }
                Ok(())
            }
            Mode::Train => {
                network.forward_training(input, None, 1, pass, threads)?;
                let y = match &packed {
                    Some(_) => {
                        let y = pass.packed_output();
                        SeqRef::new(y.data(), 1, y.data().len() / y.width(), y.width())?
                    }
                    None => pass.output(),
                };
                loss::mse(y, target.view(), d_y)?;
                gradients.data_mut().fill(0.0);
                let d_output: Input<'_> = match &packed {
                    Some(packed) => packed.view().like(d_y.data(), network.output_size())?.into(),
                    None => (&*d_y).into(),
                };
                let args = BackwardArgs {
                    input,
                    state: None,
                    d_output,
                    d_state_n: None,
                    wants_d_input: false,
                    wants_d_state_0: false,
                };
                network.backward(params, args, gradients, pass, threads)?;
                adam.step(params, gradients)?;
                network.load(params)
            }
        }
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
    fn every_mode_runs_and_counts() {
        for mode in [Mode::Infer, Mode::Train, Mode::Stream] {
            let load = small(mode);
            let measured = load.measure(0.0).unwrap();
            assert_eq!(measured.tokens, 15);
            assert!(measured.median > 0.0 && measured.min <= measured.median && measured.peak > 0.0);
            // 2 layers of 2·3·8·(8 + 8) a token.
            let flop = if mode == Mode::Train { 3.0 } else { 1.0 } * 15.0 * 2.0 * 768.0;
            assert!((measured.flops * measured.median / flop - 1.0).abs() < 1e-9);
        }
        let ragged = Workload { ragged: true, bidirectional: true, ..small(Mode::Train) };
        let tokens = ragged.measure(0.0).unwrap().tokens;
        assert!((3..=15).contains(&tokens), "{tokens}");
        // 2·3·8·(8 + 8) and 2·3·8·(16 + 8), both ways.
        assert!((ragged.flop(1) - 3.0 * 2.0 * (768.0 + 1152.0)).abs() < 1e-9);
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
        assert_eq!(Workload { mode: Mode::Stream, ..load }.plans().unwrap()[0].0.steps, 1);
    }

    #[test]
    fn what_cannot_be_run_is_an_error() {
        let load = Workload { batch: 0, ..small(Mode::Infer) };
        assert_eq!(load.measure(0.0).unwrap_err().to_string(), "batch: expected at least 1, got 0");
        let text = "batch: expected at least 1, got 0";
        assert_eq!(load.predict(&Machine::default()).unwrap_err().to_string(), text);
        let load = Workload { bidirectional: true, ..small(Mode::Stream) };
        let text = "stream: expected a batch that is neither ragged nor bidirectional, got one that is";
        assert_eq!(load.measure(0.0).unwrap_err().to_string(), text);
    }
}
