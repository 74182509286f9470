//! Running a workload, and timing it.

use std::time::Instant;

use elman::internals::{BackwardArgs, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::loss;
use elman::optim::{Adam, AdamConfig, Optimizer};
use elman::params::ParamTable;
use elman::tensor::{PackedSequence, Seq, SeqRef};
use elman::{Input, Params, Result, Rng, State};

use super::measurement::{Latency, Measurement};
use super::stats::{Histogram, median, noise};
use super::{Mode, Workload, fma_peak};

/// How long a workload is to be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effort {
    /// Seconds that it is timed for, about; five runs at least.
    pub seconds: f64,
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

    fn measure_inside(&self, Effort { seconds, warmup }: Effort) -> Result<Measurement> {
        /// Seconds of one turn: as long as one of the peak, so that short work is not lost beside it.
        const TURN: f64 = 0.01;
        let mut work = Work::new(self)?;
        let (mut times, mut peaks, mut steps) = (Vec::new(), Vec::new(), Histogram::new());
        // Caches, memory and clock.
        for_seconds(warmup, || work.run())?;
        let start = Instant::now();
        while times.len() < 5 || start.elapsed().as_secs_f64() < seconds {
            peaks.push(fma_peak(self.kernels, self.threads));
            for_seconds(TURN, || {
                let one = Instant::now();
                work.run()?;
                times.push(one.elapsed().as_secs_f64());
                Ok(())
            })?;
            if self.mode == Mode::Stream {
                // Runs of their own: reading the clock costs a short step some percent.
                for_seconds(TURN, || work.time_steps(&mut steps))?;
            }
        }
        let (median_time, peak) = (median(&mut times), median(&mut peaks));
        let tokens = work.tokens();
        let at = |share| steps.percentile(share) as f64 / 1e9;
        let latency = Latency { p50: at(0.5), p99: at(0.99), max: steps.max() as f64 / 1e9 };
        Ok(Measurement {
            turns: times.len(),
            median: median_time,
            min: times[0],
            noise: noise(&times),
            flops: self.flop(tokens) / median_time,
            peak,
            tokens,
            per_step: median_time / self.steps as f64,
            latency: (self.mode == Mode::Stream).then_some(latency),
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

/// A workload with its data and memory.
struct Work<'a> {
    load: &'a Workload,
    network: Recurrent,
    params: Params,
    x: Seq,
    packed: Option<PackedSequence>,
    state: State,
    workspace: RecurrentWorkspace,
    training: Option<Training>,
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
        let mut work =
            Self { load, network, params, x, packed, state, workspace: RecurrentWorkspace::default(), training: None };
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
            Mode::Stream => (0..self.load.steps).try_for_each(|t| self.step(t)),
            Mode::Train => self.train(),
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

    /// One step of a stream.
    fn step(&mut self, t: usize) -> Result<()> {
        let Self { load, network, x, state, workspace, .. } = self;
        network.forward(x.view().narrow_steps(t, 1), Some(state), workspace, load.threads)?;
        state.copy_from(workspace.state())?;
        Ok(())
    }

    /// One run of a stream, each step timed. A function of its own as [`run`](Self::run) is.
    #[inline(never)]
    fn time_steps(&mut self, times: &mut Histogram) -> Result<()> {
        let mut begin = Instant::now();
        for t in 0..self.load.steps {
            self.step(t)?;
            let end = Instant::now();
            times.add(u64::try_from((end - begin).as_nanos()).unwrap_or(u64::MAX));
            begin = end;
        }
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

    #[test]
    fn every_mode_runs_and_counts() {
        for mode in [Mode::Infer, Mode::Train, Mode::Stream] {
            let measured = small(mode).measure(Effort::default()).unwrap();
            assert_eq!(measured.tokens, 15);
            assert!(measured.median > 0.0 && measured.min <= measured.median && measured.peak > 0.0);
            // 2 layers of 2·3·8·(8 + 8) a token.
            let flop = if mode == Mode::Train { 3.0 } else { 1.0 } * 15.0 * 2.0 * 768.0;
            assert!((measured.flops * measured.median / flop - 1.0).abs() < 1e-9);
            assert_eq!(measured.latency.is_some(), mode == Mode::Stream);
            if let Some(Latency { p50, p99, max }) = measured.latency {
                assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{p50} {p99} {max}");
            }
        }
        let ragged = Workload { ragged: true, bidirectional: true, ..small(Mode::Train) };
        let tokens = ragged.measure(Effort::default()).unwrap().tokens;
        assert!((3..=15).contains(&tokens), "{tokens}");
    }

    #[test]
    fn warming_up_is_not_timed() {
        let start = Instant::now();
        let effort = Effort { seconds: 0.0, warmup: 0.3 };
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
        let load = Workload { bidirectional: true, ..small(Mode::Stream) };
        let text = "stream: expected a batch that is neither ragged nor bidirectional, got one that is";
        assert_eq!(load.measure(Effort::default()).unwrap_err().to_string(), text);
    }
}
