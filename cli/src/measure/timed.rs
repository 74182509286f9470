//! Running a workload, and timing it.

use std::time::Instant;

use elman::internals::{BackwardArgs, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::loss;
use elman::optim::{Adam, AdamConfig, Optimizer};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq, SeqRef};
use elman::{Input, Params, Result, Rng, State, Stream, Streams};

use super::clock::Clock;
use super::measurement::{Latency, Measurement};
use super::stats::{Histogram, median, noise};
use super::stream::StreamWork;
use super::{Mode, Workload, fma_peak};

/// How long a workload is to be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effort {
    /// Seconds that it is timed for, about; five runs at least.
    pub seconds: f64,
    /// More runs than those five, where that is to be so.
    pub runs: usize,
    /// Seconds that it runs for before that; one run at least.
    pub warmup: f64,
}

impl Workload {
    /// Runs it for about as long as asked, turn by turn with the FMA peak.
    ///
    /// # Errors
    /// [`Error::Setting`](elman::Error::Setting) for sizes of zero, and for a stream that is ragged or bidirectional;
    /// [`Error::Overflow`](elman::Error::Overflow) for sizes that cannot be addressed.
    pub fn measure(&self, effort: Effort) -> Result<Measurement> {
        // Enter the pool once, as a program should that calls the engine in a loop.
        self.threads.inside(|| self.measure_inside(effort))
    }

    fn measure_inside(&self, Effort { seconds, runs, warmup }: Effort) -> Result<Measurement> {
        /// Seconds of one turn: as long as one of the peak, so that short work is not lost beside it.
        const TURN: f64 = 0.01;
        let mut task = Task::new(self)?;
        let (mut times, mut peaks) = (Vec::new(), Vec::new());
        // Caches, memory and clock.
        for_seconds(warmup, || task.run())?;
        let start = Instant::now();
        while times.len() < runs.max(5) || start.elapsed().as_secs_f64() < seconds {
            peaks.push(fma_peak(self.kernels, self.threads));
            // A stream's run is as long as a turn by itself.
            for_seconds(if self.mode == Mode::Stream { 0.0 } else { TURN }, || {
                let one = Instant::now();
                task.run()?;
                times.push(one.elapsed().as_secs_f64());
                Ok(())
            })?;
            if matches!(self.mode, Mode::Step | Mode::Stream) {
                // Runs of their own: reading the clock costs a short step some percent.
                for_seconds(TURN, || task.time_calls())?;
            }
        }
        let (median_time, peak) = (median(&mut times), median(&mut peaks));
        let tokens = task.tokens();
        let [latency, block_latency] = task.latencies();
        Ok(Measurement {
            turns: times.len(),
            median: median_time,
            min: times[0],
            noise: noise(&times),
            flops: self.flop(tokens) / median_time,
            peak,
            tokens,
            per_step: median_time / (tokens / self.batch).max(1) as f64,
            latency,
            block_latency,
        })
    }
}

/// Does something once, and again until so many seconds have gone by.
fn for_seconds(seconds: f64, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        work()?;
        if start.elapsed().as_secs_f64() >= seconds {
            return Ok(());
        }
    }
}

/// What is timed.
enum Task<'a> {
    Batch(Box<Work<'a>>),
    Stream(Box<StreamWork<Stream>>),
    /// Several rows.
    Streams(Box<StreamWork<Streams>>),
}

impl<'a> Task<'a> {
    fn new(load: &'a Workload) -> Result<Self> {
        match load.mode {
            Mode::Stream if load.batch == 1 => Ok(Task::Stream(Box::new(StreamWork::new(load)?))),
            Mode::Stream => Ok(Task::Streams(Box::new(StreamWork::new(load)?))),
            _ => Ok(Task::Batch(Box::new(Work::new(load)?))),
        }
    }

    fn run(&mut self) -> Result<()> {
        match self {
            Task::Batch(work) => work.run(),
            Task::Stream(work) => work.run(),
            Task::Streams(work) => work.run(),
        }
    }

    fn time_calls(&mut self) -> Result<()> {
        match self {
            Task::Batch(work) => work.time_steps(),
            Task::Stream(work) => work.time_calls(),
            Task::Streams(work) => work.time_calls(),
        }
    }

    fn tokens(&self) -> usize {
        match self {
            Task::Batch(work) => work.tokens(),
            Task::Stream(work) => work.tokens(),
            Task::Streams(work) => work.tokens(),
        }
    }

    /// Of single steps, and of single blocks.
    fn latencies(&self) -> [Option<Latency>; 2] {
        match self {
            Task::Batch(work) => [work.step_times.as_ref().map(|(times, clock)| Latency::of(times, clock)), None],
            Task::Stream(work) => work.latencies().map(Some),
            Task::Streams(work) => work.latencies().map(Some),
        }
    }
}

/// A batch with its network and memory.
struct Work<'a> {
    load: &'a Workload,
    network: Recurrent,
    params: Params,
    x: Seq,
    packed: Option<PackedSequence>,
    state: State,
    workspace: RecurrentWorkspace,
    training: Option<Training>,
    /// Of work that goes step by step.
    step_times: Option<(Histogram, Clock)>,
}

/// What training needs besides.
struct Training {
    gradients: Params,
    adam: Adam,
    target: Seq,
    d_y: Seq,
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
        let mut table = ParamTable::new();
        let mut network = Recurrent::new(config, &mut table, "")?;
        let mut params = Params::zeros(table);
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
        let state = network.zero_state(batch)?;
        let step_times = (load.mode == Mode::Step).then(|| (Histogram::new(), Clock::new()));
        let workspace = RecurrentWorkspace::default();
        let mut work = Self { load, network, params, x, packed, state, workspace, training: None, step_times };
        if load.mode == Mode::Train {
            work.training = Some(work.new_training()?);
        }
        Ok(work)
    }

    fn new_training(&self) -> Result<Training> {
        // Of a packed batch, all its rows as one step's.
        let [steps, batch] = match self.packed {
            Some(_) => [1, self.tokens()],
            None => [self.load.steps, self.load.batch],
        };
        let target = Seq::zeros(steps, batch, self.network.output_size())?;
        let adam = Adam::new(&self.params, AdamConfig::default().isa(self.load.kernels.isa()))?;
        Ok(Training { gradients: self.params.zeros_like(), adam, d_y: target.clone(), target })
    }

    /// Steps of all rows.
    fn tokens(&self) -> usize {
        match &self.packed {
            Some(packed) => packed.data().len() / self.load.input,
            None => self.load.batch * self.load.steps,
        }
    }

    /// One run. A function of its own in the binary too: `perf/callgrind.sh` cuts its counts where it is called.
    #[inline(never)]
    fn run(&mut self) -> Result<()> {
        match self.load.mode {
            Mode::Infer => {
                let Self { load, network, x, packed, workspace, .. } = self;
                network.forward(input(x, packed.as_ref()), None, workspace, load.threads)
            }
            Mode::Step => (0..self.load.steps).try_for_each(|t| self.step(t)),
            Mode::Train => self.train(),
            Mode::Stream => unreachable!("a stream is no batch"),
        }
    }

    /// Forward, loss, backward, and a step of Adam.
    fn train(&mut self) -> Result<()> {
        let Self { load, network, params, x, packed, workspace, training, .. } = self;
        let Training { gradients, adam, target, d_y } = training.as_mut().expect("made for a workload that trains");
        let packed = packed.as_ref();
        let input = input(x, packed);
        network.forward_training(input, None, 1, workspace, load.threads)?;
        let y = match packed {
            Some(_) => {
                let y = workspace.packed_output();
                SeqRef::new(y.data(), 1, y.data().len() / y.width(), y.width())?
            }
            None => workspace.output(),
        };
        loss::mse(y, target.view(), d_y)?;
        gradients.data_mut().fill(0.0);
        let d_output: Input<'_> = match packed {
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
        network.backward(params, args, gradients, workspace, load.threads)?;
        adam.step(params, gradients)?;
        network.load(params)
    }

    /// One step.
    fn step(&mut self, t: usize) -> Result<()> {
        let Self { load, network, x, state, workspace, .. } = self;
        network.forward(x.view().narrow_steps(t, 1), Some(state), workspace, load.threads)?;
        state.copy_from(workspace.state())?;
        Ok(())
    }

    /// One run, each step timed. A function of its own as [`run`](Self::run) is.
    #[inline(never)]
    fn time_steps(&mut self) -> Result<()> {
        let mut times = self.step_times.take();
        for t in 0..self.load.steps {
            let begin = Clock::now();
            self.step(t)?;
            let end = Clock::now();
            if let Some((times, clock)) = &mut times {
                times.add(clock.between(begin, end));
            }
        }
        self.step_times = times;
        Ok(())
    }
}

/// The batch, packed where it is ragged.
fn input<'a>(x: &'a Seq, packed: Option<&'a PackedSequence>) -> Input<'a> {
    packed.map_or_else(|| x.into(), Input::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use elman::Threads;
    use elman::internals::{Cell, Kernels};

    fn small(mode: Mode) -> Workload {
        Workload { layers: 2, ..Workload::square(Cell::Gru, mode, 8, [3, 5], Threads::one()) }
    }

    /// A tier is timed whole: the layers, and the optimiser too.
    #[test]
    fn adam_steps_on_the_tier_of_the_layers() {
        for kernels in Kernels::available() {
            let load = Workload { kernels, ..small(Mode::Train) };
            let work = Work::new(&load).unwrap();
            assert_eq!(work.network.kernels().isa(), kernels.isa());
            let adam = format!("{:?}", work.training.as_ref().unwrap().adam);
            assert!(adam.contains(&format!("isa: {:?}", kernels.isa())), "{adam}");
        }
    }

    fn ascends(Latency { p50, p99, p999, max }: &Latency) {
        assert!(0.0 < *p50 && p50 <= p99 && p99 <= p999 && p999 <= max, "{p50} {p99} {p999} {max}");
    }

    #[test]
    fn a_stream_is_timed_by_runs_steps_and_blocks() {
        for (block, rows) in [(1, 1), (4, 1), (1, 3), (4, 3)] {
            let load = Workload { batch: rows, steps: 10, head: 3, block, ..small(Mode::Stream) };
            let measured = load.measure(Effort { runs: 7, ..Effort::default() }).unwrap();
            let steps = if block == 1 { 10 } else { 12 };
            assert_eq!((measured.turns, measured.tokens), (7, rows * steps));
            assert!((measured.per_step * steps as f64 / measured.median - 1.0).abs() < 1e-9);
            // 2 layers of 2·3·8·(8 + 8), and 2·8·3 for the head.
            let flop = measured.tokens as f64 * (2.0 * 768.0 + 48.0);
            assert!((measured.flops * measured.median / flop - 1.0).abs() < 1e-9);
            let [Some(step), Some(block)] = [measured.latency, measured.block_latency] else { panic!("{measured:?}") };
            [&step, &block].into_iter().for_each(ascends);
        }
    }

    #[test]
    fn every_mode_runs_and_counts() {
        for mode in [Mode::Infer, Mode::Train, Mode::Step] {
            let measured = small(mode).measure(Effort::default()).unwrap();
            assert_eq!(measured.tokens, 15);
            assert!(measured.median > 0.0 && measured.min <= measured.median && measured.peak > 0.0);
            // 2 layers of 2·3·8·(8 + 8) a token.
            let flop = if mode == Mode::Train { 3.0 } else { 1.0 } * 15.0 * 2.0 * 768.0;
            assert!((measured.flops * measured.median / flop - 1.0).abs() < 1e-9);
            assert_eq!((measured.latency.is_some(), measured.block_latency), (mode == Mode::Step, None));
            measured.latency.iter().for_each(ascends);
        }
        let ragged = Workload { ragged: true, bidirectional: true, ..small(Mode::Train) };
        let tokens = ragged.measure(Effort::default()).unwrap().tokens;
        assert!((3..=15).contains(&tokens), "{tokens}");
    }

    #[test]
    fn warming_up_is_not_timed() {
        let start = Instant::now();
        let effort = Effort { warmup: 0.3, ..Effort::default() };
        // Runs of microseconds: five of them are timed in one turn of 10 ms.
        let measured = small(Mode::Infer).measure(effort).unwrap();
        assert!(start.elapsed().as_secs_f64() > 0.3);
        assert!(measured.turns as f64 * measured.median < 0.2, "{measured:?}");
    }

    #[test]
    fn what_cannot_be_run_is_an_error() {
        let load = Workload { batch: 0, ..small(Mode::Infer) };
        let text = "batch: expected at least 1, got 0";
        assert_eq!(load.measure(Effort::default()).unwrap_err().to_string(), text);
        for (mode, word) in [(Mode::Step, "step"), (Mode::Stream, "stream")] {
            let load = Workload { batch: 1, bidirectional: true, ..small(mode) };
            let text = format!("{word}: expected a batch that is neither ragged nor bidirectional, got one that is");
            assert_eq!(load.measure(Effort::default()).unwrap_err().to_string(), text);
        }
    }
}
