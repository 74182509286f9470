//! `elman train`: from a file to a trained model, an honest score beside methods that need no network, and a picture.

mod args;
mod backtest;
mod classify;
mod explain;
mod forecast;
mod generate;
mod memory;
pub(crate) mod table;
mod transduce;
mod values;
mod watch;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Command;
use elman::format::{check_writable, write_atomic};
use elman::train::{Fit, FitReport, Identity, Learner, Progress};
use elman::{Model, Threads};
use elman_tasks::flow::{Flows, LayerFlow};
use elman_tasks::job::Job;
use elman_tasks::scores::Scores;
use indicatif::HumanCount;
use serde::Serialize;

use super::Failure;
use super::common::{count, same_file, visible};
use super::plot::chart::{Chart, Curve, Pane, Panel};
use super::plot::{Format, render};
use args::{Common, Shared, with_defaults};
use watch::{Seen, Watch, clock};

#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(clap::Subcommand)]
enum Kind {
    /// The next steps of a series of numbers, from the last ones (CSV): sequence to sequence
    Forecast(forecast::Args),
    /// The class of a text or of a sequence of numbers: sequence to vector
    Classify(classify::Args),
    /// Texts like those of a label: vector to sequence
    Generate(generate::Args),
    /// One sequence out of another, such as a pronunciation out of a word: encoder-decoder
    Transduce(transduce::Args),
    /// Which networks still remember after how many steps, on problems that need no file
    Memory(memory::Args),
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.kind {
        Kind::Forecast(args) => match args.folds() {
            Some(folds) => backtest::run(args, folds),
            None => train::<forecast::Kind>(args),
        },
        Kind::Classify(args) => train::<classify::Kind>(args),
        Kind::Generate(args) => train::<generate::Kind>(args),
        Kind::Transduce(args) => train::<transduce::Kind>(args),
        Kind::Memory(args) => memory::run(args),
    }
}

/// The command with what each setting is where no option is given.
pub(crate) fn with_help(command: Command) -> Command {
    fn of<T: Trained>(command: Command) -> Command {
        let mut settings = T::usual();
        with_defaults(command, &T::common(&mut settings))
    }
    let command = command.mut_subcommand("forecast", of::<forecast::Kind>);
    let command = command.mut_subcommand("classify", of::<classify::Kind>);
    command.mut_subcommand("generate", of::<generate::Kind>).mut_subcommand("transduce", of::<transduce::Kind>)
}

/// A kind of training: what differs between them.
trait Trained: Sized {
    type Settings: Job;
    type Args;
    type Learner: Learner;

    fn shared(args: &Self::Args) -> &Shared;
    /// What is set where nothing is said: what the help tells.
    fn usual() -> Self::Settings;
    /// The same where some options choose other settings for the rest.
    fn preset(_args: &Self::Args) -> Self::Settings {
        Self::usual()
    }
    fn common(settings: &mut Self::Settings) -> Common<'_>;
    /// What the options of this kind alone say, over the settings.
    fn apply(args: &Self::Args, settings: &mut Self::Settings) -> Result<(), Failure>;
    fn prepare(data: &Path, settings: Self::Settings) -> Result<Self, elman_tasks::Error>;
    /// Sentences about what was read.
    fn told(&self) -> Vec<String>;
    fn fit(&self, threads: Threads) -> Result<Fit<Self::Learner>, elman_tasks::Error>;
    /// The trained model as it is saved, and sentences about it.
    fn finish(&self, learner: Self::Learner) -> Result<(Model, Vec<String>), elman_tasks::Error>;
    /// The tables of the test part, and what of it is drawn beside the curves of learning.
    fn score(&self, model: &Model) -> Result<(Vec<Scores>, Option<Pane>), elman_tasks::Error>;
    /// How far back in time the gradient reaches.
    fn gradient_flow(&self, model: &Model) -> Result<Flows, elman_tasks::Error>;
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    task: &'a str,
    model: String,
    plot: String,
    seconds: f64,
    steps_per_second: f64,
    epochs: usize,
    best_epoch: Option<u64>,
    valid_loss: Option<f64>,
    parameters: usize,
    threads: usize,
    notes: &'a [String],
    scores: &'a [Scores],
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<explain::Parts>,
}

/// Where the results of a run go.
struct Places {
    model: PathBuf,
    plot: PathBuf,
    format: Format,
    checkpoint: PathBuf,
}

impl Places {
    fn of(shared: &Shared, task: &str) -> Result<Self, Failure> {
        let model = shared.out.clone().unwrap_or_else(|| PathBuf::from(format!("{task}.safetensors")));
        let plot = shared.plot.clone().unwrap_or_else(|| model.with_extension("png"));
        let format = Format::of(&plot).map_err(|reason| Failure::Usage(format!("--plot: {reason}")))?;
        let mut checkpoint = model.clone().into_os_string();
        checkpoint.push(".checkpoint");
        if same_file(&model, &plot) {
            let got = plot.display();
            return Err(Failure::Usage(format!("--plot: expected another file than the model's, got {got}")));
        }
        check_writable(&model)?;
        check_writable(&plot)?;
        Ok(Self { model, plot, format, checkpoint: checkpoint.into() })
    }
}

impl From<elman_tasks::Error> for Failure {
    fn from(error: elman_tasks::Error) -> Self {
        Failure::Run(error.to_string())
    }
}

/// The settings of the kind or of `--config`, and over them what the options say.
fn settings_of<T: Trained>(args: &T::Args) -> Result<T::Settings, Failure> {
    let shared = T::shared(args);
    let mut settings = shared.settings(T::preset(args))?;
    shared.apply(T::common(&mut settings));
    T::apply(args, &mut settings)?;
    Ok(settings)
}

fn train<T: Trained>(args: &T::Args) -> Result<(), Failure> {
    let shared = T::shared(args);
    let mut settings = settings_of::<T>(args)?;
    let toml = settings.to_toml()?;
    if shared.print_config {
        write!(io::stdout(), "{toml}")?;
        return Ok(());
    }
    let task = T::Settings::TASK;
    let data = shared.data.as_ref().expect("clap asks for it");
    let places = Places::of(shared, task)?;
    check_resumable(shared, &places)?;
    let identity = settings.identity(data)?;
    let (epochs, threads) = (T::common(&mut settings).fit.epochs, shared.threads());
    let prepared = T::prepare(data, settings)?;
    let mut notes = prepared.told();
    if !shared.json {
        notes.iter().try_for_each(|note| writeln!(io::stdout(), "{}", visible(note)))?;
    }
    let mut fit = prepared.fit(threads)?.checkpoints(&places.checkpoint, identity.clone())?;
    if let Some(time) = shared.checkpoint_every() {
        fit = fit.checkpoint_every(time);
    }
    if shared.resume {
        resume(&mut fit, &places, &identity, shared)?;
    }
    let (report, Seen { seconds, steps_per_second }) = watched(&mut fit, Watch::new(epochs, shared.json), &places)?;
    let times = shared.explain.then(|| fit.time_parts(explain::MINIBATCHES)).transpose()?;
    let (mut model, mut more) = prepared.finish(fit.into_learner())?;
    more.extend(times.iter().flat_map(explain::told));
    let (scores, pane) = prepared.score(&model)?;
    let mut panes: Vec<Pane> = pane.into_iter().collect();
    if shared.gradient_flow {
        let flows = prepared.gradient_flow(&model)?;
        more.extend(flow_told(&flows));
        panes.push(Pane::Curves(flow_panel(&flows)));
    }
    if !shared.json {
        more.iter().try_for_each(|note| writeln!(io::stdout(), "{}", visible(note)))?;
    }
    notes.extend(more);
    model.set_metadata("elman.data", data.display().to_string())?;
    model.save(&places.model)?;
    let parts: usize = model.parts().map(|(_, part)| part.params().data().len()).sum();
    let parameters = model.params().data().len() + parts;
    write_atomic(&places.plot, &picture(&scores, &report, panes, places.format)?)?;
    if shared.json {
        let best = report.best;
        let report = Report {
            task,
            model: places.model.display().to_string(),
            plot: places.plot.display().to_string(),
            seconds,
            steps_per_second,
            epochs: report.epochs.len(),
            best_epoch: best.map(|best| best.epoch + 1),
            valid_loss: best.map(|best| best.loss),
            parameters,
            threads: threads.get(),
            notes: &notes,
            scores: &scores,
            parts: times.as_ref().map(Into::into),
        };
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(io::stdout(), "{text}")?;
        return Ok(());
    }
    print(&scores, &report, &Seen { seconds, steps_per_second }, parameters, &places)
}

/// The results, for a reader.
fn print(
    scores: &[Scores],
    report: &FitReport,
    seen: &Seen,
    parameters: usize,
    places: &Places,
) -> Result<(), Failure> {
    scores.iter().try_for_each(table::print)?;
    let mut out = io::stdout().lock();
    writeln!(out)?;
    let best = report.best.map_or(String::new(), |best| format!(", the best the {}", ordinal(best.epoch + 1)));
    let epochs = count(report.epochs.len() as u64, "epoch");
    writeln!(
        out,
        "trained     {epochs} in {}{best}; {} steps/s, {} parameters",
        clock(seen.seconds),
        HumanCount(seen.steps_per_second as u64),
        HumanCount(parameters as u64)
    )?;
    writeln!(out, "model       {}", visible(&places.model.display().to_string()))?;
    writeln!(out, "picture     {}", visible(&places.plot.display().to_string()))?;
    Ok(())
}

/// That there is a checkpoint where one is to go on from.
fn check_resumable(shared: &Shared, places: &Places) -> Result<(), Failure> {
    if shared.resume && !places.checkpoint.exists() {
        let path = places.checkpoint.display();
        return Err(Failure::Run(format!(
            "--resume: there is no checkpoint {path}; a run without --resume begins one"
        )));
    }
    Ok(())
}

fn resume<L: Learner>(fit: &mut Fit<L>, places: &Places, identity: &Identity, shared: &Shared) -> Result<(), Failure> {
    let path = &places.checkpoint;
    // What the checkpoint has to belong to: the data too, unless they may have changed.
    let names = if shared.allow_changed_data { &["task", "settings"][..] } else { &["task", "settings", "data"] };
    let whole = |all: Identity, name: &&str| match identity.get(name) {
        Some(value) => all.with(*name, value),
        None => all,
    };
    let asked = names.iter().fold(Identity::default(), whole);
    fit.resume(path, &asked).map_err(|error| {
        let text = error.to_string();
        let help = match text.split(' ').next() {
            Some("data") => "; --allow-changed-data goes on with other data",
            Some("settings") => "; it goes on with the settings that it began with alone (see --config)",
            _ => "",
        };
        Failure::Run(format!("--resume {}: {text}{help}", path.display()))
    })?;
    if !shared.json {
        let inside = match fit.minibatches() {
            0 => String::new(),
            1 => " and 1 minibatch of the next".into(),
            n => format!(" and {n} minibatches of the next"),
        };
        writeln!(io::stdout(), "going on after {}{inside}", count(fit.report().epochs.len() as u64, "epoch"))?;
    }
    Ok(())
}

/// Trains to the end, and shows how it goes.
fn watched<L: Learner>(fit: &mut Fit<L>, mut watch: Watch, places: &Places) -> Result<(FitReport, Seen), Failure> {
    let mut lost: io::Result<()> = Ok(());
    let result = fit.run(&mut |progress: Progress<'_>| {
        lost = watch.see(progress);
        lost.is_ok()
    });
    let result = result.cloned().map_err(|error| {
        let kept = if places.checkpoint.exists() { places.checkpoint.display().to_string() } else { "none".into() };
        Failure::Run(format!("training stopped: {error}; the last good checkpoint: {kept}"))
    });
    let seen = watch.end();
    lost?;
    Ok((result?, seen))
}

/// The curves of learning, and what the kind has to show.
fn picture(scores: &[Scores], report: &FitReport, panes: Vec<Pane>, format: Format) -> Result<Vec<u8>, Failure> {
    let curve = |name: &str, color, f: &dyn Fn(&elman::train::EpochReport) -> Option<f64>| Curve {
        name: name.into(),
        color,
        points: report.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64 + 1.0, f(epoch)?))).collect(),
        ..Curve::default()
    };
    let curves = vec![curve("training", 2, &|epoch| Some(epoch.train)), curve("validation", 1, &|epoch| epoch.valid)];
    let learning = Panel { title: "Loss by epoch".into(), x: "epoch".into(), curves, ..Panel::default() };
    let network = scores.first().and_then(|scores| scores.rows.iter().find(|row| row.is_network));
    let title = network.map_or("Trained".into(), |row| row.method.clone());
    let told = |scores: &Scores| -> Option<String> {
        let row = scores.rows.iter().find(|row| row.is_network)?;
        let values = row.values.iter().zip(&scores.measures);
        let each =
            values.filter_map(|(value, measure)| Some(format!("{} {:.*}", measure.name, measure.digits, (*value)?)));
        Some(format!("{}: {}", scores.part, each.collect::<Vec<_>>().join(", ")))
    };
    let subtitle = scores.first().and_then(told).unwrap_or_default();
    let panes = std::iter::once(Pane::Curves(learning)).chain(panes).collect();
    render(&Chart { title, subtitle, panes }, format).map_err(Failure::Run)
}

/// A sentence for each layer and direction, and one that says which gradient it is.
fn flow_told(flows: &Flows) -> Vec<String> {
    let of = format!("(the gradient {})", flows.of);
    flows.layers.iter().map(ToString::to_string).chain([of]).collect()
}

/// The norms of the gradient by steps, on a scale of powers of ten.
fn flow_panel(flows: &Flows) -> Panel {
    let of = |(n, one): (usize, &LayerFlow)| {
        let norms = &one.flow.norms()[0];
        let last = norms.len() as f64 - 1.0;
        let points = norms.iter().enumerate().map(|(t, &norm)| (t as f64 - last, f64::from(norm))).collect();
        Curve { name: one.name(), color: n + 1, points, ..Curve::default() }
    };
    let curves = flows.layers.iter().enumerate().map(of).collect();
    let (title, x) = ("Gradient norm at h".into(), "steps from the last".into());
    Panel { title, x, log: true, curves, ..Panel::default() }
}

/// `1st`, `2nd`, `13th`.
fn ordinal(n: u64) -> String {
    let ending = match (n % 10, n % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}
