//! Steps of a [`Stream`], as a program has them that calls it for each sample.

use std::hint::black_box;

use elman::internals::Cell;
use elman::{Gru, Lstm, Model, ModelBuilder, Result, Rng, Rnn, Stream, Streams};

use super::Workload;
use super::clock::Clock;
use super::measurement::Latency;
use super::stats::Histogram;

/// What is called: a stream, or several rows at once.
pub(super) trait Callee: Sized {
    fn new(model: Model, load: &Workload) -> Result<Self>;
    /// What goes before and behind calls that are measured.
    fn engage(&mut self, _on: bool) {}
    fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<()>;
    fn block(&mut self, x: &[f32], y: &mut [f32]) -> Result<()>;
}

impl Callee for Stream {
    fn new(model: Model, load: &Workload) -> Result<Self> {
        let stream = Stream::new(model)?;
        if load.helpers == 0 {
            return Ok(stream);
        }
        stream.with_helpers(load.helpers)
    }

    fn engage(&mut self, on: bool) {
        if on { Stream::engage(self) } else { self.release() }
    }

    #[inline(always)]
    fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.step(x, y)
    }

    #[inline(always)]
    fn block(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.block(x, y)
    }
}

impl Callee for Streams {
    fn new(model: Model, load: &Workload) -> Result<Self> {
        Streams::new(model, load.batch)
    }

    #[inline(always)]
    fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.step(x, y)
    }

    #[inline(always)]
    fn block(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.block(x, y)
    }
}

/// A workload's stream, and how long its calls took.
pub(super) struct StreamWork<S> {
    caller: Caller<S>,
    /// Steps of a call in the runs; 1 for [`Stream::step`].
    block: usize,
    /// Steps of the blocks that are timed one by one.
    timed_block: usize,
    clock: Clock,
    step_times: Histogram,
    block_times: Histogram,
}

/// A stream with what it reads and writes.
struct Caller<S> {
    stream: S,
    rows: usize,
    /// Of one row.
    inputs: usize,
    outputs: usize,
    /// Of a run.
    steps: usize,
    /// Whether a call's outputs are the next one's inputs.
    feedback: bool,
    /// Of the longest call; single steps take one after the other from it, and then again.
    x: Vec<f32>,
    y: Vec<f32>,
}

impl<S: Callee> StreamWork<S> {
    pub(super) fn new(load: &Workload) -> Result<Self> {
        load.check()?;
        let Workload { cell, input, hidden, layers, .. } = *load;
        let builder: ModelBuilder = match cell {
            Cell::Elman(nonlinearity) => {
                Rnn::builder(input, hidden).nonlinearity(nonlinearity).num_layers(layers).into()
            }
            Cell::Gru => Gru::builder(input, hidden).num_layers(layers).into(),
            Cell::Lstm => Lstm::builder(input, hidden).num_layers(layers).into(),
            other => return Err(elman::Error::setting("stream", "an rnn, a gru or an lstm", other)),
        };
        let builder = if load.head > 0 { builder.linear("head", load.head) } else { builder };
        let mut rng = Rng::new(1);
        let model: Model = builder.isa(load.kernels.isa()).model(&mut rng)?;
        let longest = load.timed_block();
        let (rows, inputs, outputs) = (load.batch, model.inputs(), model.outputs());
        let caller = Caller {
            x: (0..longest * rows * inputs).map(|_| rng.uniform(-1.0, 1.0)).collect(),
            y: vec![0.0; longest * rows * outputs],
            stream: S::new(model, load)?,
            rows,
            inputs,
            outputs,
            steps: load.steps,
            feedback: load.feedback,
        };
        Ok(Self {
            caller,
            block: load.block,
            timed_block: longest,
            clock: Clock::new(),
            step_times: Histogram::new(),
            block_times: Histogram::new(),
        })
    }

    /// The steps of a run and all rows, or a few more where they are no whole number of blocks.
    pub(super) fn tokens(&self) -> usize {
        self.caller.rows * self.caller.steps.next_multiple_of(self.block)
    }

    /// One run. A function of its own in the binary too: `perf/callgrind.sh` cuts its counts where it is called.
    #[inline(never)]
    pub(super) fn run(&mut self) -> Result<()> {
        match self.block {
            1 => self.caller.each(1, S::step),
            block => self.caller.each(block, S::block),
        }
    }

    /// Single steps and then single blocks, each timed by itself. A function of its own as [`run`](Self::run) is.
    #[inline(never)]
    pub(super) fn time_calls(&mut self) -> Result<()> {
        let Self { caller, timed_block, clock, step_times, block_times, .. } = self;
        caller.each(1, |stream, x, y| {
            let begin = Clock::now();
            let result = stream.step(x, y);
            step_times.add(clock.between(begin, Clock::now()));
            result
        })?;
        caller.each(*timed_block, |stream, x, y| {
            let begin = Clock::now();
            let result = stream.block(x, y);
            block_times.add(clock.between(begin, Clock::now()));
            result
        })
    }

    /// How long single steps took, and single blocks.
    pub(super) fn latencies(&self) -> [Latency; 2] {
        [&self.step_times, &self.block_times].map(|times| Latency::of(times, &self.clock))
    }
}

impl<S: Callee> Caller<S> {
    /// The steps of a run in calls of so many. The compiler may take nothing for granted about what they read and write.
    #[inline(always)]
    fn each(&mut self, block: usize, call: impl FnMut(&mut S, &[f32], &mut [f32]) -> Result<()>) -> Result<()> {
        self.stream.engage(true);
        let done = if self.feedback { self.each_fed_back(block, call) } else { self.each_of_signal(block, call) };
        self.stream.engage(false);
        done
    }

    /// Over a signal. A call waits for the state that the one before left, and for nothing else.
    #[inline(always)]
    fn each_of_signal(
        &mut self,
        block: usize,
        mut call: impl FnMut(&mut S, &[f32], &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let rows = block * self.rows;
        let (width, y) = (rows * self.inputs, &mut self.y[..rows * self.outputs]);
        let mut rest = &self.x[..];
        for _ in 0..self.steps.div_ceil(block) {
            let (x, after) = rest.split_at(width);
            rest = if after.len() < width { &self.x } else { after };
            call(&mut self.stream, black_box(x), black_box(&mut *y))?;
        }
        Ok(())
    }

    /// The outputs of one call are the inputs of the next, as far as both reach: none can begin before the one before has
    /// ended.
    #[inline(always)]
    fn each_fed_back(
        &mut self,
        block: usize,
        mut call: impl FnMut(&mut S, &[f32], &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let rows = block * self.rows;
        let (x, y) = (&mut self.x[..rows * self.inputs], &mut self.y[..rows * self.outputs]);
        for _ in 0..self.steps.div_ceil(block) {
            call(&mut self.stream, black_box(&*x), black_box(&mut *y))?;
            match (&mut *x, &*y) {
                // A copy of a length that is not known is a call.
                ([x], [y]) => *x = *y,
                (x, y) => x.iter_mut().zip(y).for_each(|(x, y)| *x = *y),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use elman::internals::Kernels;

    #[test]
    fn outputs_are_the_next_inputs_where_that_is_asked() {
        let load = Workload { steps: 7, feedback: true, ..Workload::stream(Cell::Gru, 5, Kernels::best()) };
        let mut work = StreamWork::<Stream>::new(&load).unwrap();
        let (mut stream, mut x) = (work.caller.stream.clone(), [work.caller.x[0]]);
        work.run().unwrap();
        for _ in 0..7 {
            let mut y = [0.0];
            stream.step(&x, &mut y).unwrap();
            x = y;
        }
        assert_eq!(work.caller.x[0], x[0]);
        // A block of 4: seven steps are two of them.
        let mut work = StreamWork::<Stream>::new(&Workload { block: 4, ..load }).unwrap();
        assert_eq!((work.tokens(), work.timed_block), (8, 4));
        let (mut stream, mut x, mut y) = (work.caller.stream.clone(), work.caller.x[..4].to_vec(), [0.0; 4]);
        work.run().unwrap();
        for _ in 0..2 {
            stream.block(&x, &mut y).unwrap();
            x.copy_from_slice(&y);
        }
        assert_eq!(work.caller.x[..4], x);
    }
    #[test]
    fn a_signal_goes_through_sample_by_sample_and_again() {
        let load = Workload { steps: 70, ..Workload::stream(Cell::Gru, 5, Kernels::best()) };
        let mut work = StreamWork::<Stream>::new(&load).unwrap();
        let (mut stream, signal) = (work.caller.stream.clone(), work.caller.x.clone());
        assert_eq!(signal.len(), 64);
        work.run().unwrap();
        for x in signal.iter().chain(&signal[..6]) {
            stream.step(&[*x], &mut [0.0]).unwrap();
        }
        assert_eq!(work.caller.stream.state().unwrap(), stream.state().unwrap());
        assert_eq!(work.caller.x, signal);
    }
}
