//! `elman predict`: what a trained model says of new data, line by line as they come.

mod lines;

use std::io::{self, Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use elman::Model;
use elman::format::{check_writable, write_atomic};
use elman_tasks::classify::{Classifier, Data};
use elman_tasks::forecast::Forecaster;
use elman_tasks::generate::Generator;
use elman_tasks::job::TASK_KEY;
use elman_tasks::transduce::{Attention, Transducer};

use super::Failure;
use super::common::{same_file, visible, whole};
use super::plot::chart::{Chart, Pane};
use super::plot::heat::Heats;
use super::plot::{Format, render};
use lines::{Answer, Lines, interactive};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A model that 'elman train' made
    model: PathBuf,
    /// The data, '-' for the standard input: of a classifier of texts a text a line, of one of numbers the numbers of a
    /// sequence on each line or, in long form, the CSV file that it was trained on, with or without labels; of a
    /// generator a label a line, of an encoder-decoder a source, of a forecast the CSV file. A forecast without any goes on
    /// where the training file ended, and a generator writes of every label
    input: Option<PathBuf>,
    /// Ask for a line, print the answer, and go on after one that has none, until the input ends (Ctrl-D); not of a forecast. A
    /// generator writes other texts each time it is asked
    #[arg(short, long)]
    interactive: bool,
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
    if let Some(input) = args.input.as_deref().filter(|input| args.interactive && *input != Path::new("-")) {
        let got = input.display();
        return Err(Failure::Usage(format!("--interactive: asks the standard input: expected no other, got {got}")));
    }
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
            if args.interactive {
                let help = "a forecast takes a table with a header, whose rows come in time: 'elman predict MODEL -'";
                return Err(Failure::Usage(format!("--interactive: is not of a forecast; {help}")));
            }
            forecast(args, Forecaster::new(model).map_err(named)?)
        }
        Some("transduce") => transduce(args, &Transducer::new(model).map_err(named)?),
        Some("generate") => generate(args, Generator::new(model).map_err(named)?),
        other => Err(no_task(&args.model, other)),
    }
}

/// Answers the lines of the input, or those that are typed.
fn each_line(args: &Args, answer: &mut Answer<'_>) -> Result<(), Failure> {
    if args.interactive { interactive(answer) } else { Lines::open(args.input.as_deref())?.answer(answer) }
}

/// Texts of every label, or of those that stand on the lines of the input.
fn generate(args: &Args, mut generator: Generator) -> Result<(), Failure> {
    let (count, mut seed, labels) = (args.count as u64, args.seed, generator.labels().to_vec());
    let mut texts = |label: &str, seed: u64| -> Result<Vec<String>, String> {
        let mut line = |n| {
            let text = generator.sample(label, args.temperature, seed.wrapping_add(n));
            text.map(|text| format!("{}\t{}", visible(label), visible(&text))).map_err(|error| error.to_string())
        };
        (0..count).map(&mut line).collect()
    };
    if args.input.is_none() && !args.interactive {
        return labels.iter().try_for_each(|label| Ok(lines::print(&texts(label, seed).map_err(Failure::Run)?)?));
    }
    each_line(args, &mut |label| {
        let written = if label.is_empty() { Vec::new() } else { texts(label, seed)? };
        // Whoever asks again wants to see another; a file comes to the same however its lines are cut.
        seed = if args.interactive { seed.wrapping_add(count) } else { seed };
        Ok(written)
    })
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

/// Classes or targets, the likeliest first, as they are shown.
fn shown(args: &Args, ranked: &[(String, f64)]) -> String {
    let each = ranked.iter().take(args.top).map(|(name, probability)| match args.probabilities {
        true => format!("{name}\t{probability:.4}"),
        false => name.clone(),
    });
    each.collect::<Vec<_>>().join("\t")
}

/// The numbers of a line, or what of it is none.
fn numbers(line: &str) -> Result<Vec<f64>, String> {
    let each = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    each.map(|part| part.parse().map_err(|_| format!("expected numbers, got '{part}'"))).collect()
}

fn classify(args: &Args, classifier: &Classifier) -> Result<(), Failure> {
    let mut answer = |line: &str| {
        let answer = match classifier.reads_texts() {
            true => classifier.predict(line),
            false => classifier.predict_numbers(&numbers(line)?),
        };
        Ok(vec![shown(args, &answer.map_err(|error| error.to_string())?)])
    };
    if args.interactive {
        return interactive(&mut answer);
    }
    let mut lines = Lines::open(args.input.as_deref())?;
    if matches!(classifier.settings().data, Data::Long(_)) {
        // A header is no numbers: what begins with some is a sequence a line.
        let first = lines.next()?.unwrap_or_default();
        if !lines::text(&first).is_ok_and(|line| numbers(line).is_ok()) {
            return long(args, classifier, lines, first);
        }
        lines.from = Box::new(Cursor::new(first).chain(lines.from));
    }
    lines.answer(&mut answer)
}

/// The sequences of a CSV file in long form, each by its name.
fn long(args: &Args, classifier: &Classifier, mut lines: Lines, mut bytes: Vec<u8>) -> Result<(), Failure> {
    let read = lines.from.read_to_end(&mut bytes);
    read.map_err(|error| lines.unreadable(&error))?;
    let answers = classifier.predict_long(&lines.name, bytes)?;
    let told = answers.iter().map(|(id, ranked)| format!("{id}\t{}", shown(args, ranked)));
    Ok(lines::print(&told.collect::<Vec<_>>())?)
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
        let answers: Vec<_> = answers.into_iter().map(|(target, score)| (target, score.exp())).collect();
        Ok(vec![shown(args, &answers)])
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
    let Lines { name, from } = Lines::open(args.input.as_deref())?;
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
