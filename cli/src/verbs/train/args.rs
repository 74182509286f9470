//! The options that every kind of training has.

use std::path::PathBuf;
use std::time::Duration;

use clap::Command;
use elman::Threads;
use elman::train::{FitConfig, Schedule};
use elman_tasks::job::Job;
use elman_tasks::net::{Cell, Net};
use elman_tasks::split::Shares;

use super::super::Failure;
use super::super::common::threads;
use super::values::{
    Minutes, above_zero, at_least_zero, cell, epochs, epochs_or_none, minutes, schedule, seed, share, size,
};

/// What an option says, it says over the file of `--config`, and that over the defaults.
#[derive(clap::Args)]
pub(crate) struct Shared {
    /// The data
    #[arg(required_unless_present = "print_config")]
    pub(super) data: Option<PathBuf>,
    /// The cell: rnn, gru or lstm
    #[arg(long, value_name = "CELL", value_parser = cell)]
    cell: Option<Cell>,
    /// Hidden units of every layer
    #[arg(long, value_name = "N", value_parser = size)]
    hidden: Option<usize>,
    /// Recurrent layers
    #[arg(long, value_name = "N", value_parser = size)]
    layers: Option<usize>,
    /// Whether layers go through time both ways
    #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    bidirectional: Option<bool>,
    /// Features of a token's vector, where tokens are read
    #[arg(long, value_name = "N", value_parser = size)]
    embedding: Option<usize>,
    /// The probability of dropout between layers
    #[arg(long, value_name = "P", value_parser = share)]
    dropout: Option<f64>,
    /// How many times every example is learned from, at most
    #[arg(long, value_name = "N", value_parser = epochs)]
    epochs: Option<u64>,
    /// Examples of a minibatch
    #[arg(long, value_name = "N", value_parser = size)]
    batch: Option<usize>,
    /// The learning rate
    #[arg(long, value_name = "X", value_parser = above_zero)]
    lr: Option<f32>,
    /// How it changes: constant, step:EVERY:GAMMA and cosine:WARMUP:STEPS[:FLOOR] (both by steps; of 0 STEPS to the end of
    /// training), plateau:PATIENCE:FACTOR[:THRESHOLD:MIN_LR]
    #[arg(long, value_name = "SCHEDULE", value_parser = schedule)]
    schedule: Option<Schedule>,
    /// The largest norm of the gradients, 0 for any
    #[arg(long, value_name = "X", value_parser = at_least_zero)]
    clip: Option<f32>,
    /// Epochs without a better validation loss after which training stops, 0 for never
    #[arg(long, value_name = "N", value_parser = epochs_or_none)]
    patience: Option<u64>,
    /// The seed of everything that is drawn
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// The share that settings are chosen by and training is stopped by
    #[arg(long, value_name = "SHARE", value_parser = share)]
    valid: Option<f64>,
    /// The share that is scored once, at the end
    #[arg(long, value_name = "SHARE", value_parser = share)]
    test: Option<f64>,
    /// Threads that may be used; one for each core unless set
    #[arg(long, value_name = "N", value_parser = threads, allow_hyphen_values = true)]
    threads: Option<Threads>,
    /// Where the trained model goes: a safetensors file under PyTorch's names [default: KIND.safetensors]
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Where the picture goes, a .png or .svg file [default: beside the model]
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Minutes after which a checkpoint is written beside the model while an epoch goes on, 0 for at the ends of epochs alone
    #[arg(long, value_name = "MINUTES", value_parser = minutes, default_value = "5", allow_hyphen_values = true)]
    checkpoint_every: Minutes,
    /// Go on from the checkpoint that a run before left beside its model
    #[arg(long)]
    pub(super) resume: bool,
    /// Go on though the data have changed since
    #[arg(long, requires = "resume")]
    pub(super) allow_changed_data: bool,
    /// Tell and draw how far back in time the gradient reaches, in each layer and direction: whether it vanishes or explodes.
    /// Of transduce, in the encoder; of generate, from the end of a text
    #[arg(long)]
    pub(super) gradient_flow: bool,
    /// After training, time the parts of a minibatch by themselves, and tell what training loses between them
    #[arg(long)]
    pub(super) explain: bool,
    /// Take the settings of a file (TOML), as --print-config writes it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print all settings as TOML, and do nothing
    #[arg(long)]
    pub(super) print_config: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// The parts of a task's settings that [`Shared`] speaks of.
pub(crate) struct Common<'a> {
    pub(crate) seed: &'a mut u64,
    pub(crate) net: &'a mut Net,
    pub(crate) fit: &'a mut FitConfig,
    pub(crate) shares: &'a mut Shares,
}

impl Shared {
    /// The settings of the file, or those of the kind.
    pub(super) fn settings<J: Job>(&self, preset: J) -> Result<J, Failure> {
        let Some(path) = &self.config else { return Ok(preset) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("--config: cannot read {}: {error}", path.display())))?;
        J::from_toml(&text).map_err(|error| Failure::Usage(format!("--config {}: {error}", path.display())))
    }

    /// What the options say, over the settings.
    pub(super) fn apply(&self, common: Common<'_>) {
        let Common { seed, net, fit, shares } = common;
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(from) = from {
                *to = from.clone();
            }
        }
        set(&mut net.cell, &self.cell);
        set(&mut net.hidden, &self.hidden);
        set(&mut net.layers, &self.layers);
        set(&mut net.bidirectional, &self.bidirectional);
        set(&mut net.embedding, &self.embedding);
        set(&mut net.dropout, &self.dropout.map(|p| p as f32));
        set(&mut fit.epochs, &self.epochs);
        set(&mut fit.batch, &self.batch);
        set(&mut fit.lr, &self.lr);
        set(&mut fit.schedule, &self.schedule);
        set(&mut fit.clip_norm, &self.clip.map(|clip| Some(clip).filter(|clip| *clip > 0.0)));
        set(&mut fit.patience, &self.patience.map(|patience| Some(patience).filter(|patience| *patience > 0)));
        set(&mut fit.seed, &self.seed);
        set(seed, &self.seed);
        set(&mut shares.valid, &self.valid);
        set(&mut shares.test, &self.test);
    }

    /// The time after which a checkpoint is written inside an epoch; none where the ends of epochs are enough.
    pub(super) fn checkpoint_every(&self) -> Option<Duration> {
        Some(self.checkpoint_every.0).filter(|time| !time.is_zero())
    }

    pub(super) fn threads(&self) -> Threads {
        self.threads.unwrap_or_else(Threads::available)
    }
}

/// Says in a kind's help what its settings are where no option is given.
pub(super) fn with_defaults(command: Command, common: &Common<'_>) -> Command {
    let Common { seed, net, fit, shares } = common;
    let told = [
        ("cell", format!("{:?}", net.cell).to_lowercase()),
        ("hidden", net.hidden.to_string()),
        ("layers", net.layers.to_string()),
        ("bidirectional", net.bidirectional.to_string()),
        ("embedding", net.embedding.to_string()),
        ("dropout", net.dropout.to_string()),
        ("epochs", fit.epochs.to_string()),
        ("batch", fit.batch.to_string()),
        ("lr", fit.lr.to_string()),
        ("schedule", fit.schedule.to_string()),
        ("clip", fit.clip_norm.unwrap_or(0.0).to_string()),
        ("patience", fit.patience.unwrap_or(0).to_string()),
        ("seed", seed.to_string()),
        ("valid", shares.valid.to_string()),
        ("test", shares.test.to_string()),
    ];
    told.into_iter().fold(command, |command, (name, value)| {
        command.mut_arg(name, |arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            arg.help(format!("{help} [default: {value}]"))
        })
    })
}
