//! The options of `elman bench`, and the workloads that they ask for.

use std::path::PathBuf;

use elman::format::CellKind;
use elman::internals::Kernels;
use elman::{Nonlinearity, Threads};
use elman_cli::measure::{Effort, Middle, Mode, Workload, cpus};

use crate::verbs::Failure;
use crate::verbs::common::{any_threads, cell, isa, nonlinearity, runnable, seconds, whole};

#[derive(clap::Args)]
#[command(
    after_help = "Without any of --cell, --mode, --input, --hidden, --batch, --rows, --steps, --block, --feedback, --helpers, \
                        --layers, --head, --bidirectional and --ragged a table of workloads is run: every cell in inference, training, step by step \
                        and as a stream.\n\
                        FLOP are counted as 2·B·T·G·H·(I + H) for each layer and direction, three times that in training \
                        (forward, loss, backward, Adam), and 2·T·H·O for a stream's head. The FMA peak of as many threads is \
                        measured in between.\n\
                        The noise is half the distance between the quartiles of the runs' times, as a share of their median. \
                        Rows with more than 10 % of it are marked 'noisy', rows with a share of more than 100 % of the peak \
                        'above peak': neither is to be relied on.\n\
                        --mode step calls a network with a batch of one step each time, on all threads. --mode stream calls \
                        Stream::step, or with --block Stream::block, with --rows those of Streams, on one thread, sample after \
                        sample of a signal; with --feedback the outputs of a call are the inputs of the next, so that none \
                        begins before the one before has ended. It makes 25 runs unless --seconds tells how many. Of both, every step is timed by itself too, and of a stream blocks of 64 steps (or of --block): the \
                        times that half of them (p50), 99 of 100 (p99), 999 of 1000 (p99.9) and all (max) stay within, by the \
                        processor's time-stamp counter, whose own cost is taken off.\n\
                        --against runs the table, or the workload, with both binaries in turns, each run a process of its own \
                        (BINARY bench --json …), and tells the ratio of the times, this binary's over the other's: the median of \
                        the pairs, and the interval that holds it 95 times in 100. Rows whose whole interval lies above 1.02 are \
                        marked 'slower' and run again at the end. Of the table, runs of more than 40 GFLOP are cut to half the \
                        steps until they have no more: the whole takes about ten minutes on two cores, --quick a fifth of that; \
                        rows whose options the other binary does not know are left out.\n\
                        --caches, and --explain with more --threads than the machine has cores, run nothing: they predict, for a \
                        machine of that many Zen 4 cores. Streams are not predicted."
)]
pub(crate) struct Args {
    /// The cell: rnn, gru or lstm [default: lstm]
    #[arg(long, value_name = "CELL", value_parser = cell)]
    cell: Option<CellKind>,
    /// An rnn's activation, tanh or relu [default: tanh]
    #[arg(long, value_name = "NAME", value_parser = nonlinearity)]
    nonlinearity: Option<Nonlinearity>,
    /// infer, train, step (a batch, one step a call) or stream (Stream, Streams) [default: infer]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<Mode>,
    /// Features of the input [default: as --hidden, of a stream 1]
    #[arg(long, value_name = "I", value_parser = size, allow_hyphen_values = true)]
    input: Option<usize>,
    /// Hidden units [default: 256]
    #[arg(long, value_name = "H", value_parser = size, allow_hyphen_values = true)]
    hidden: Option<usize>,
    /// Rows of the batch [default: 64, with --mode step 1]
    #[arg(long, value_name = "B", value_parser = size, allow_hyphen_values = true)]
    batch: Option<usize>,
    /// Rows of a stream that one call takes, by Streams where there are several [default: 1]
    #[arg(long, value_name = "N", value_parser = size, allow_hyphen_values = true)]
    rows: Option<usize>,
    /// Time steps [default: 100, of a stream 100,000, above 64 units 10,000, above 256 units 1,000]
    #[arg(long, value_name = "T", value_parser = steps, allow_hyphen_values = true)]
    steps: Option<usize>,
    /// Steps of a stream that one call takes [default: 1]
    #[arg(long, value_name = "N", value_parser = size, allow_hyphen_values = true)]
    block: Option<usize>,
    /// Helper threads of a stream that compute a part of its big layers [default: 0]
    #[arg(long, value_name = "N", value_parser = size, allow_hyphen_values = true)]
    helpers: Option<usize>,
    /// A stream's outputs are its next inputs, as where it runs freely; otherwise the input is a signal
    #[arg(long)]
    feedback: bool,
    /// Layers [default: 1]
    #[arg(long, value_name = "L", value_parser = size, allow_hyphen_values = true)]
    layers: Option<usize>,
    /// Outputs of a stream's linear head, 0 for none [default: 1]
    #[arg(long, value_name = "O", value_parser = head, allow_hyphen_values = true)]
    head: Option<usize>,
    /// Both directions
    #[arg(long)]
    bidirectional: bool,
    /// Rows of lengths drawn from T/4 to T, packed
    #[arg(long)]
    ragged: bool,
    /// A fifth of the table: of each cell a batch in inference and in training, and one row as a whole and step by step
    #[arg(long)]
    quick: bool,
    /// Threads that may be used, at most 4 for each core; one for each core, or each CPU of --pin, unless set; of a stream 1
    #[arg(long, value_name = "N", value_parser = any_threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Keep every thread on a CPU of its own: the system's numbers, one for each thread
    #[arg(long, value_name = "CPU,...", value_parser = pins, allow_hyphen_values = true)]
    pin: Option<Pins>,
    /// The tier of instructions, avx512, avx2 or portable; the best of this machine unless set
    #[arg(long, value_name = "TIER", value_parser = isa)]
    isa: Option<&'static Kernels>,
    /// Seconds to spend on each workload, or with --against on each run of one [default: 1, with --against 0.1; of a stream
    /// 25 runs]
    #[arg(long, value_name = "S", value_parser = seconds, allow_hyphen_values = true)]
    seconds: Option<f64>,
    /// Seconds to run each workload for before it is timed; one run at least
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds, allow_hyphen_values = true)]
    warmup: f64,
    /// Print the schedule of each shape of layer, and the time predicted for this machine with its parts
    #[arg(long)]
    pub(super) explain: bool,
    /// Predict, and run nothing: bytes of a core's L1d and L2 and of all cores' L3, such as 32K,1M,32M
    #[arg(long, value_name = "L1,L2,L3", value_parser = caches, allow_hyphen_values = true)]
    pub(super) caches: Option<[usize; 3]>,
    /// Another binary with this verb to take turns with, such as one of the tree before a change
    #[arg(long, value_name = "BINARY", conflicts_with_all = ["explain", "caches", "warmup"])]
    pub(super) against: Option<PathBuf>,
    /// Runs of each of the two binaries for each workload, 15 to 1000
    #[arg(long, value_name = "N", default_value = "15", requires = "against", value_parser = pairs)]
    pub(super) pairs: usize,
    /// Print one JSON object a line and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// CPUs to keep threads on, each once.
#[derive(Clone, Debug)]
pub(super) struct Pins(pub(super) Vec<usize>);

fn size(text: &str) -> Result<usize, String> {
    whole(text, 1..=65_536)
}

/// The engine's limit is of what it addresses; this one, of patience.
fn steps(text: &str) -> Result<usize, String> {
    whole(text, 1..=1_000_000)
}

fn head(text: &str) -> Result<usize, String> {
    whole(text, 0..=65_536)
}

fn pairs(text: &str) -> Result<usize, String> {
    whole(text, 15..=Middle::MOST)
}

fn mode(text: &str) -> Result<Mode, String> {
    text.parse().map_err(|_| "expected infer, train, step or stream".into())
}

/// `0,1`.
fn pins(text: &str) -> Result<Pins, String> {
    let there = cpus();
    let list: Option<Vec<usize>> = text.split(',').map(|cpu| cpu.trim().parse().ok()).collect();
    let sound =
        |list: &Vec<usize>| list.iter().enumerate().all(|(i, cpu)| there.contains(cpu) && !list[..i].contains(cpu));
    list.filter(sound).map(Pins).ok_or_else(|| {
        let there: Vec<String> = there.iter().map(usize::to_string).collect();
        format!("expected CPUs that this process may use, each once and commas between: it may use {}", there.join(","))
    })
}

/// `32K,1M,32M`.
fn caches(text: &str) -> Result<[usize; 3], String> {
    let size = |text: &str| {
        let (digits, unit) = match text.char_indices().next_back()? {
            (end, 'K' | 'k') => (&text[..end], 1 << 10),
            (end, 'M' | 'm') => (&text[..end], 1 << 20),
            (end, 'G' | 'g') => (&text[..end], 1 << 30),
            _ => (text, 1),
        };
        digits.parse::<usize>().ok()?.checked_mul(unit)
    };
    let sizes: Option<Vec<usize>> = text.split(',').map(size).collect();
    let sizes = sizes.and_then(|sizes| <[usize; 3]>::try_from(sizes).ok());
    let sizes = sizes.filter(|&[l1, l2, l3]| 0 < l1 && l1 <= l2 && l2 <= l3);
    sizes.ok_or_else(|| "expected the sizes of L1d, L2 and L3, each at least the one before, such as 32K,1M,32M".into())
}

impl Args {
    /// Threads that may be used.
    pub(super) fn threads(&self) -> Threads {
        let pinned = self.pin.as_ref().and_then(|Pins(cpus)| Threads::new(cpus.len()).ok());
        let usual = || if self.mode == Some(Mode::Stream) { Threads::one() } else { Threads::available() };
        self.threads.or(pinned).unwrap_or_else(usual)
    }

    /// How long to measure a workload.
    pub(super) fn effort(&self, load: &Workload) -> Effort {
        let effort = |seconds, runs| Effort { seconds, runs, warmup: self.warmup };
        match self.seconds {
            Some(seconds) => effort(seconds, 0),
            None if self.against.is_some() => effort(0.1, 0),
            None if load.mode == Mode::Stream => effort(0.0, 25),
            None => effort(1.0, 0),
        }
    }

    /// Whether all that is asked for is another machine's time.
    pub(super) fn only_predicts(&self) -> bool {
        let beyond = self.explain && self.threads().get() > Threads::available().get();
        self.caches.is_some() || beyond
    }

    /// The CPUs to keep threads on; none where they may go anywhere.
    pub(super) fn pinned(&self) -> &[usize] {
        self.pin.as_ref().map_or(&[], |Pins(cpus)| cpus)
    }

    /// Whether the workloads are the table's, and not one that was described.
    pub(super) fn is_table(&self) -> bool {
        let batch = [self.input, self.hidden, self.batch, self.steps, self.layers];
        let stream = [self.rows, self.block, self.head, self.helpers];
        let described =
            self.cell.is_some() || self.mode.is_some() || self.bidirectional || self.ragged || self.feedback;
        !described && batch.iter().chain(&stream).all(Option::is_none)
    }

    /// What may not be run.
    pub(super) fn check(&self) -> Result<(), Failure> {
        runnable(self.threads())
            .map_err(|reason| Failure::Usage(format!("--threads: {reason}, got {}", self.threads().get())))?;
        let (threads, pins) = (self.threads().get(), self.pinned().len());
        if pins > 0 && pins != threads {
            return Err(Failure::Usage(format!("--pin: expected as many CPUs as threads, {threads}, got {pins}")));
        }
        if pins > 1 && self.against.is_some() {
            // What the other binary knows of it is only what a process hands down: where its one thread may run.
            return Err(Failure::Usage(format!("--pin: expected one CPU with --against, got {pins}")));
        }
        Ok(())
    }

    pub(super) fn workloads(&self) -> Result<Vec<Workload>, Failure> {
        let kernels = self.isa.map_or_else(Kernels::active, Ok)?;
        let threads = self.threads();
        if self.nonlinearity.is_some() && self.cell != Some(CellKind::Rnn) {
            return Err(Failure::Usage("--nonlinearity: expected --cell rnn with it, got another cell or none".into()));
        }
        match (self.is_table(), self.quick) {
            (true, false) => return Ok(Workload::table(threads, kernels)),
            (true, true) => return Ok(Workload::quick_table(threads, kernels)),
            (false, true) => {
                return Err(Failure::Usage("--quick: expected the table, got it beside a workload of its own".into()));
            }
            (false, false) => {}
        }
        let cell = self.cell.unwrap_or(CellKind::Lstm).cell(self.nonlinearity.unwrap_or_default());
        let hidden = self.hidden.unwrap_or(256);
        let mode = self.mode.unwrap_or(Mode::Infer);
        if mode == Mode::Stream {
            return Ok(vec![self.stream(Workload::stream(cell, hidden, kernels))?]);
        }
        for (option, value) in
            [("rows", self.rows), ("block", self.block), ("head", self.head), ("helpers", self.helpers)]
        {
            if value.is_some() {
                return Err(Failure::Usage(format!("--{option}: expected --mode stream with it, got {mode}")));
            }
        }
        if self.feedback {
            return Err(Failure::Usage(format!("--feedback: expected --mode stream with it, got {mode}")));
        }
        let [batch, steps] = [self.batch.unwrap_or(if mode == Mode::Step { 1 } else { 64 }), self.steps.unwrap_or(100)];
        let square = Workload::square(cell, mode, hidden, [batch, steps], threads);
        Ok(vec![Workload {
            input: self.input.unwrap_or(hidden),
            layers: self.layers.unwrap_or(1),
            bidirectional: self.bidirectional,
            ragged: self.ragged,
            kernels,
            ..square
        }])
    }

    /// The usual stream with what is asked for instead.
    fn stream(&self, usual: Workload) -> Result<Workload, Failure> {
        let refused = |option: &str, expected: &str, got: usize| {
            Err(Failure::Usage(format!("--{option}: expected {expected}, got {got}")))
        };
        if let Some(batch) = self.batch {
            return refused("batch", "--rows instead, as a stream has no batch", batch);
        }
        if self.threads().get() > 1 {
            return refused("threads", "1, as a stream runs on the thread that calls it", self.threads().get());
        }
        if self.only_predicts() || self.explain {
            return Err(Failure::Usage("--explain, --caches: expected infer, train or step, got a stream".into()));
        }
        let helpers = self.helpers.unwrap_or(0);
        if helpers > 0 && self.rows.is_some_and(|rows| rows > 1) {
            return refused("helpers", "one row, as Streams have none", helpers);
        }
        if helpers > 0 && !self.pinned().is_empty() {
            return refused("helpers", "no --pin, as they would stay on the caller's CPU", helpers);
        }
        Ok(Workload {
            input: self.input.unwrap_or(usual.input),
            batch: self.rows.unwrap_or(1),
            steps: self.steps.unwrap_or(usual.steps),
            layers: self.layers.unwrap_or(1),
            head: self.head.unwrap_or(usual.head),
            block: self.block.unwrap_or(1),
            feedback: self.feedback,
            helpers,
            bidirectional: self.bidirectional,
            ragged: self.ragged,
            ..usual
        })
    }
}
