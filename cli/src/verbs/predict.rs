//! `elman predict`: what a trained model says of new data, line by line as they come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use elman::Model;
use elman::format::{check_writable, write_atomic};
use elman_tasks::classify::Classifier;
use elman_tasks::forecast::Forecaster;
use elman_tasks::generate::Generator;
use elman_tasks::job::TASK_KEY;
use elman_tasks::transduce::{Attention, Transducer};

use super::Failure;
use super::common::{same_file, visible, whole};
use super::plot::chart::{Chart, Pane};
use super::plot::heat::Heats;
use super::plot::{Format, render};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model that 'elman train' made
    model: PathBuf,
    /// The data, '-' for the standard input. A forecast without any goes on where the training file ended, and a generator
    /// writes of every label
    input: Option<PathBuf>,
    /// Print the probabilities of classes, or of targets, too
    #[arg(long)]
    probabilities: bool,
    /// Print so many classes, or targets, the likeliest first
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = top)]
    top: usize,
    /// Of an encoder-decoder, beginnings of a target that are followed at once; as in training unless set
    #[arg(long, value_name = "K", value_parser = top)]
    beam: Option<usize>,
    /// Of an encoder-decoder with attention, draw where it looks as it tells the best target of one source: a .png or .svg file
    #[arg(long, value_name = "FILE")]
    attention_plot: Option<PathBuf>,
    /// Of a generator, how many texts of each label
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = top)]
    count: usize,
    /// Of a generator, how far it strays from the likeliest: 1 as it learned, 0 not at all
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    temperature: f64,
    /// Of a generator, what its choices are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Of a forecast, keep the rows that were read in this model file, to go on from there
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

fn top(text: &str) -> Result<usize, String> {
    whole(text, 1..=1_000_000)
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let model = Model::open(&args.model)?;
    let named = |error: elman_tasks::Error| Failure::Run(format!("{}: {error}", args.model.display()));
    if args.attention_plot.is_some() && model.metadata(TASK_KEY) != Some("transduce") {
        return Err(Failure::Usage("--attention-plot: is of an encoder-decoder with attention".into()));
    }
    match model.metadata(TASK_KEY) {
        Some("classify") => {
            if args.save.is_some() {
                return Err(Failure::Usage("--save: is of a forecast; a classifier keeps nothing".into()));
            }
            classify(args, &Classifier::new(model).map_err(named)?)
        }
        Some("forecast") => {
            if args.probabilities || args.top != 1 {
                return Err(Failure::Usage("--probabilities and --top are of a classifier".into()));
            }
            forecast(args, Forecaster::new(model).map_err(named)?)
        }
        Some("transduce") => transduce(args, &Transducer::new(model).map_err(named)?),
        Some("generate") => generate(args, Generator::new(model).map_err(named)?),
        other => Err(no_task(&args.model, other)),
    }
}

/// Texts of every label, or of those that stand on the lines of the input.
fn generate(args: &Args, mut generator: Generator) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let labels: Vec<String> = match &args.input {
        None => generator.labels().to_vec(),
        input => {
            let (name, from) = lines(input.as_deref())?;
            let read = from.lines().collect::<Result<Vec<_>, _>>();
            let read = read.map_err(|error| Failure::Run(format!("cannot read {name}: {error}")))?;
            read.into_iter().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect()
        }
    };
    for label in &labels {
        for n in 0..args.count as u64 {
            let text = generator.sample(label, args.temperature, args.seed.wrapping_add(n))?;
            writeln!(out, "{}\t{}", visible(label), visible(&text))?;
        }
    }
    Ok(())
}

/// That a model is of no task, or of one that is not known.
pub(super) fn no_task(path: &Path, task: Option<&str>) -> Failure {
    let path = path.display();
    Failure::Run(match task {
        None => format!("{path}: expected a model that 'elman train' made; 'elman run {path} INPUT' runs any other"),
        Some(task) => {
            format!("{path}: expected a model that 'elman train' made for a task, got one of '{task}'")
        }
    })
}

/// The lines of a file or of the standard input.
fn lines(input: Option<&Path>) -> Result<(String, Box<dyn BufRead>), Failure> {
    match input {
        Some(path) if path != Path::new("-") => {
            let file =
                File::open(path).map_err(|error| Failure::Run(format!("cannot read {}: {error}", path.display())))?;
            Ok((path.display().to_string(), Box::new(BufReader::new(file))))
        }
        _ => Ok(("standard input".into(), Box::new(BufReader::new(io::stdin())))),
    }
}

/// Calls `tell` with every line of the input as it comes, and prints what that gives.
fn each_line(args: &Args, tell: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<(), Failure> {
    let (name, mut from) = lines(args.input.as_deref())?;
    let mut out = io::stdout().lock();
    let (mut bytes, mut number) = (Vec::new(), 0);
    loop {
        bytes.clear();
        number += 1;
        let read = from.read_until(b'\n', &mut bytes);
        if read.map_err(|error| Failure::Run(format!("cannot read {name}: {error}")))? == 0 {
            return Ok(());
        }
        let at = |reason: String| Failure::Run(format!("{name}: line {number}: {reason}"));
        let line = std::str::from_utf8(&bytes).map_err(|_| at("expected UTF-8, got other bytes".into()))?;
        let told = tell(line.trim_start_matches('\u{feff}').trim()).map_err(at)?;
        writeln!(out, "{}", told.split('\t').map(visible).collect::<Vec<_>>().join("\t"))?;
        out.flush()?;
    }
}

fn classify(args: &Args, classifier: &Classifier) -> Result<(), Failure> {
    each_line(args, &mut |line| {
        let answer = if classifier.reads_texts() {
            classifier.predict(line)
        } else {
            let each = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
            let values: Result<Vec<f64>, _> = each.map(|part| part.parse::<f64>().map_err(|_| part)).collect();
            classifier.predict_numbers(&values.map_err(|part| format!("expected numbers, got '{part}'"))?)
        };
        let answer = answer.map_err(|error| error.to_string())?;
        let shown = answer.iter().take(args.top).map(|(class, probability)| match args.probabilities {
            true => format!("{class}\t{probability:.4}"),
            false => class.clone(),
        });
        Ok(shown.collect::<Vec<_>>().join("\t"))
    })
}

fn transduce(args: &Args, transducer: &Transducer) -> Result<(), Failure> {
    let beam = args.beam.unwrap_or(transducer.settings().beam).max(args.top);
    let plot = args.attention_plot.as_deref().map(|path| AttentionPlot::of(path, args, transducer)).transpose()?;
    // The sources, where one is to be drawn.
    let mut sources = Vec::new();
    each_line(args, &mut |line| {
        let answers = transducer.transduce(line, beam).map_err(|error| error.to_string())?;
        if plot.is_some() {
            if !sources.is_empty() {
                return Err("--attention-plot: expected one source, on one line, got another one".into());
            }
            sources.push(line.to_string());
        }
        let shown = answers.iter().take(args.top).map(|(target, score)| match args.probabilities {
            true => format!("{target}\t{:.4}", score.exp()),
            false => target.clone(),
        });
        Ok(shown.collect::<Vec<_>>().join("\t"))
    })?;
    match plot {
        Some(plot) => plot.draw(&sources, transducer, beam),
        None => Ok(()),
    }
}

/// The picture of where a decoder looks.
struct AttentionPlot<'a> {
    path: &'a Path,
    format: Format,
}

impl<'a> AttentionPlot<'a> {
    /// What is wrong is told before anything is read.
    fn of(path: &'a Path, args: &Args, transducer: &Transducer) -> Result<Self, Failure> {
        let usage = |reason: String| Failure::Usage(format!("--attention-plot: {reason}"));
        if transducer.settings().attention == Attention::None {
            let model = args.model.display();
            let help = "'train transduce --attention' makes one";
            return Err(usage(format!("expected a model with attention, got {model}, which has none; {help}")));
        }
        let format = Format::of(path).map_err(usage)?;
        if same_file(path, &args.model) || args.input.as_deref().is_some_and(|input| same_file(path, input)) {
            return Err(usage(format!("expected another file than the model and the data, got {}", path.display())));
        }
        check_writable(path)?;
        Ok(Self { path, format })
    }

    fn draw(&self, sources: &[String], transducer: &Transducer, beam: usize) -> Result<(), Failure> {
        let [source] = sources else {
            return Err(Failure::Run("--attention-plot: expected one source, on one line, got none".into()));
        };
        let attended = transducer.attention(source, beam)?;
        let subtitle = format!("{} \u{2192} {}", visible(source), visible(&attended.target.join(" ")));
        let heats = Heats { title: "Source to the right, what is told downwards".into(), maps: vec![attended.into()] };
        let title = "Where the decoder looks".into();
        let chart = Chart { title, subtitle, panes: vec![Pane::Heats(heats)] };
        write_atomic(self.path, &render(&chart, self.format).map_err(Failure::Run)?)?;
        Ok(())
    }
}

fn forecast(args: &Args, mut forecaster: Forecaster) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let text = |levels: &[f64]| levels.iter().map(|level| format!("{level}")).collect::<Vec<_>>().join("\t");
    if args.input.is_none() {
        let groups: Vec<(String, String)> =
            forecaster.series().map(|(group, time)| (group.to_string(), time.to_string())).collect();
        for (group, time) in groups {
            let first = if group.is_empty() { format!("after {time}") } else { format!("{group}, after {time}") };
            let levels = forecaster.forecast(&group)?;
            writeln!(out, "{}\t{}", visible(&first), levels.map_or("too few rows".into(), |levels| text(&levels)))?;
        }
    } else {
        rows(args, &mut forecaster, &mut |time, levels| {
            writeln!(out, "{}\t{}", visible(time), levels.map_or("too few rows".into(), text))?;
            out.flush()
        })?;
    }
    if let Some(path) = &args.save {
        forecaster.into_model()?.save(path)?;
    }
    Ok(())
}

/// Tells the time of a row, and what is forecast after it.
type Tell<'a> = dyn FnMut(&str, Option<&[f64]>) -> io::Result<()> + 'a;

/// Takes the rows of a CSV file with a header one by one; tells the forecast after each.
fn rows(args: &Args, forecaster: &mut Forecaster, tell: &mut Tell<'_>) -> Result<(), Failure> {
    let (name, from) = lines(args.input.as_deref())?;
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(from);
    let failed = |error: csv::Error| Failure::Run(format!("{name}: {error}"));
    let header = reader.headers().map_err(failed)?.clone();
    let data = forecaster.settings().data.clone();
    let place = |column: &str| {
        let found = header.iter().position(|other| other.trim_start_matches('\u{feff}') == column);
        let columns = header.iter().collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| Failure::Run(format!("{name}: expected a column '{column}', got {}", visible(&columns))))
    };
    let columns = forecaster.columns().to_vec();
    let places = columns.iter().map(|column| place(column)).collect::<Result<Vec<_>, _>>()?;
    let (time, group) = (data.time.as_deref().map(place).transpose()?, data.group.as_deref().map(place).transpose()?);
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut row = Vec::new();
        for (column, &place) in columns.iter().zip(&places) {
            let cell = record[place].trim();
            let missing = matches!(cell.to_ascii_lowercase().as_str(), "" | "na" | "n/a" | "nan");
            let refused = data.missing == elman_tasks::table::Missing::Refuse;
            let value = if missing {
                (!refused).then_some(f64::NAN)
            } else {
                cell.parse().ok().filter(|x: &f64| x.is_finite())
            };
            row.push(value.ok_or_else(|| {
                let cell = visible(cell);
                Failure::Run(format!(
                    "{name}: line {line}, column '{}': expected a number, got '{cell}'",
                    visible(column)
                ))
            })?);
        }
        let group = group.map_or("", |at| &record[at]).to_string();
        let time = time.map_or_else(|| format!("line {line}"), |at| record[at].to_string());
        forecaster.push(&group, &time, &row)?;
        let levels = forecaster.forecast(&group)?;
        tell(&time, levels.as_deref())?;
    }
    Ok(())
}
