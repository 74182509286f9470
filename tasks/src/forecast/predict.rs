//! Forecasts by a model's file alone, and new rows as they come.

use std::path::Path;

use elman::{Model, Workspace};
use serde::{Deserialize, Serialize};

use super::prepared::Prepared;
use super::{FORECAST_KEY, Mode, Settings, run};
use crate::error::{Error, Result};
use crate::job;

/// What a model's file has beside the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    pub(super) prepared: Prepared,
    pub(super) last: Vec<LastRows>,
    /// What errors are scaled by: those of the last value on the training part.
    #[serde(default)]
    pub(super) naive: Option<f64>,
}

/// The end of a series: what the next forecast looks at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LastRows {
    pub(super) group: String,
    pub(super) time: String,
    /// Row by row; none where there was no number.
    pub(super) rows: Vec<Option<f64>>,
}

/// A model that goes on from the last rows that it was trained on, or from those it is given since.
///
/// It keeps one window of each series: new rows alone are enough to go on.
#[derive(Debug)]
pub struct Forecaster {
    model: Model,
    settings: Settings,
    saved: Saved,
    workspace: Workspace,
}

impl Forecaster {
    /// Opens a model's file.
    ///
    /// # Errors
    /// A file that cannot be read, or is no model of this task.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(Model::open(path)?)
    }

    /// The same of a model that is there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn new(model: Model) -> Result<Self> {
        let settings = job::settings_of::<Settings>(&model)?;
        let text = model
            .metadata(FORECAST_KEY)
            .ok_or_else(|| Error::new(format!("model: expected metadata '{FORECAST_KEY}', got none")))?;
        let saved: Saved =
            serde_json::from_str(text).map_err(|error| Error::new(format!("metadata '{FORECAST_KEY}': {error}")))?;
        let fits = model.inputs() == saved.prepared.width() && model.outputs() == settings.outputs();
        if !fits || saved.prepared.rest.len() != settings.outputs() {
            let got = format!("{} inputs and {} outputs", model.inputs(), model.outputs());
            return Err(Error::expected("model", "inputs and outputs as its metadata says", got));
        }
        if !saved.prepared.is_whole() {
            let expected = "features, target, scales and weights that belong together";
            return Err(Error::expected(&format!("metadata '{FORECAST_KEY}'"), expected, "others"));
        }
        Ok(Self { model, settings, saved, workspace: Workspace::default() })
    }

    /// The columns of a row: the features, and the target where it is none of them.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.saved.prepared.names
    }

    /// Steps that are forecast at once.
    #[must_use]
    pub fn horizon(&self) -> usize {
        self.settings.horizon
    }

    /// The settings that the model was trained with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    pub(super) fn saved(&self) -> &Saved {
        &self.saved
    }

    /// The series by their groups, and the time of the last row of each.
    pub fn series(&self) -> impl Iterator<Item = (&str, &str)> {
        self.saved.last.iter().map(|last| (&last.group[..], &last.time[..]))
    }

    /// Takes the next row of a series, in the order of [`columns`](Self::columns); NaN where there is no number. A series that
    /// is not known begins with it.
    ///
    /// # Errors
    /// Another number of columns.
    pub fn push(&mut self, group: &str, time: &str, row: &[f64]) -> Result<()> {
        let Saved { prepared, last, .. } = &mut self.saved;
        if row.len() != prepared.columns() {
            let expected = format!("{} ({})", prepared.columns(), prepared.names.join(", "));
            return Err(Error::expected("row", format!("columns: {expected}"), row.len()));
        }
        let at = last.iter().position(|one| one.group == group).unwrap_or_else(|| {
            last.push(LastRows { group: group.into(), time: String::new(), rows: Vec::new() });
            last.len() - 1
        });
        let one = &mut last[at];
        one.time = time.into();
        one.rows.extend(row.iter().map(|value| (!value.is_nan()).then_some(*value)));
        let keeps = prepared.needs() * prepared.columns();
        let over = one.rows.len().saturating_sub(keeps);
        one.rows.drain(..over);
        Ok(())
    }

    /// The next steps of a series; none where it has not yet as many rows as a window.
    ///
    /// # Errors
    /// A group that is not known.
    pub fn forecast(&mut self, group: &str) -> Result<Option<Vec<f64>>> {
        let Self { model, settings, saved: Saved { prepared, last, .. }, workspace } = self;
        let Some(one) = last.iter().find(|one| one.group == group) else {
            let known: Vec<&str> = last.iter().map(|one| &one.group[..]).collect();
            return Err(Error::expected("group", format!("one of {}", known.join(", ")), group));
        };
        let columns = prepared.columns();
        let mut rows: Vec<f64> = one.rows.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        if rows.len() < prepared.needs() * columns {
            return Ok(None);
        }
        let mut levels = Vec::new();
        while levels.len() < settings.horizon {
            let x = prepared.scaled(&rows);
            let known = rows.iter().skip(prepared.target).step_by(columns).rev().find(|level| !level.is_nan());
            let last = known.copied().unwrap_or(f64::NAN);
            let answer = run(model, [&x[..]].into_iter(), [prepared.window, prepared.width()], workspace)?;
            levels.extend(
                answer[0].iter().enumerate().map(|(output, &y)| prepared.level(last, &x, output, f64::from(y))),
            );
            if settings.mode == Mode::Recursive {
                rows.drain(..columns);
                rows.push(levels[levels.len() - 1]);
            }
        }
        Ok(Some(levels))
    }

    /// The model with the rows that it has been given since: to be saved, and to go on from.
    ///
    /// # Errors
    /// None of rows that were pushed.
    pub fn into_model(mut self) -> Result<Model> {
        let json = serde_json::to_string(&self.saved).map_err(|error| Error::new(format!("metadata: {error}")))?;
        self.model.set_metadata(FORECAST_KEY, json)?;
        Ok(self.model)
    }
}
