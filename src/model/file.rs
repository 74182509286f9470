//! A model as a file: opened, loaded, saved.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::guard::Copied;
use super::{Model, ModelSpec};
use crate::error::Result;
use crate::format::{
    LoadOptions, LoadReport, NO_METADATA, SPEC_KEY, Taken, TensorFile, tensors_to_bytes, write_atomic,
};

/// A tensor to be written: name, shape, elements.
type Tensor<'a> = (String, &'a [usize], &'a [f32]);

/// Where a model's parameters are from, of one that was read from a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// What was made of the file that it was opened from.
    taken: Option<Arc<Taken>>,
    /// What the last load did besides copying.
    loaded: Option<Arc<LoadReport>>,
    /// What the file says besides its spec, and what was set since.
    pub(super) metadata: BTreeMap<String, String>,
}

impl Model {
    /// Reads a model from a safetensors file: one that [`save`](Self::save) wrote, or a state dict of PyTorch's in which
    /// one reading exists, as [`ModelSpec::from_file`] has it and says.
    ///
    /// ```no_run
    /// use elman::Model;
    /// use elman::tensor::Seq;
    ///
    /// let model = Model::open("lstm.safetensors")?;
    /// if let Some(taken) = model.taken() {
    ///     println!("{taken}"); // such as "taken: lstm (2 layers), then fc 64 → 1 at every step, ..."
    /// }
    /// let x = Seq::zeros(5, 2, model.inputs())?; // (T, B, I)
    /// let output = model.run(&x)?;
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) and [`ErrorKind::Format`](crate::ErrorKind::Format) as of
    /// [`TensorFile::open`], those of [`ModelSpec::from_file`], of [`Model::new`] and of [`load`](Self::load).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::of_file(&TensorFile::open(path)?)
    }

    /// The same from a file that is in memory already.
    ///
    /// ```
    /// use elman::{Lstm, Model, Rng};
    ///
    /// let model = Lstm::builder(3, 8).linear("fc", 1).model(&mut Rng::new(1))?;
    /// let copy = Model::from_bytes(model.to_bytes()?)?;
    /// assert_eq!((copy.spec(), copy.params().data()), (model.spec(), model.params().data()));
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Self::of_file(&TensorFile::from_bytes(bytes)?)
    }

    fn of_file(file: &TensorFile) -> Result<Self> {
        let (spec, taken) = ModelSpec::from_file(file)?;
        let mut model = Self::new(spec)?;
        model.load(file, &taken.load_options())?;
        model.origin.taken = Some(Arc::new(taken));
        let metadata = file.metadata().filter(|&(key, _)| key != SPEC_KEY);
        model.origin.metadata = metadata.map(|(key, value)| (key.into(), value.into())).collect();
        Ok(model)
    }

    /// What [`open`](Self::open) or [`from_bytes`](Self::from_bytes) made of the file: what it left aside, and what it
    /// assumed where the file does not say. `None` of a model that is not from a file by these.
    ///
    /// ```
    /// use elman::format::{Assumed, NO_METADATA, tensors_to_bytes};
    /// use elman::Model;
    ///
    /// // As of torch.nn.RNN(3, 4, bias=False): the nonlinearity is not in a state dict.
    /// let [ih, hh] = [&[0.0; 4 * 3][..], &[0.0; 4 * 4]];
    /// let tensors = [("weight_ih_l0", &[4, 3][..], ih), ("weight_hh_l0", &[4, 4], hh)];
    /// let model = Model::from_bytes(tensors_to_bytes(&tensors, NO_METADATA)?)?;
    /// let taken = model.taken().expect("it is from a file");
    /// assert_eq!(taken.assumed, [Assumed::Tanh]);
    /// assert_eq!(taken.to_string(), "taken: rnn (1 layer, tanh, as the file does not say) at every step");
    /// # Ok::<(), elman::Error>(())
    /// ```
    #[must_use]
    pub fn taken(&self) -> Option<&Taken> {
        self.origin.taken.as_deref()
    }

    /// What the last [`load`](Self::load), that of [`open`](Self::open) too, converted and left aside; `None` where nothing
    /// was loaded.
    #[must_use]
    pub fn loaded(&self) -> Option<&LoadReport> {
        self.origin.loaded.as_deref()
    }

    /// Gives every parameter, those of the parts too, its tensor of the file.
    ///
    /// ```no_run
    /// use elman::format::TensorFile;
    /// use elman::{Model, ModelSpec};
    ///
    /// let file = TensorFile::open("classifier.safetensors")?;
    /// let (spec, taken) = ModelSpec::from_state_dict(&file, "embedding, lstm, last, fc1, relu, fc2")?;
    /// let mut model = Model::new(spec)?;
    /// model.load(&file, &taken.load_options())?;
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of [`TensorFile::load_into`]. Parameters may be new in part then.
    pub fn load(&mut self, file: &TensorFile, options: &LoadOptions) -> Result<LoadReport> {
        let report = if self.parts.is_empty() {
            self.load_own(file, options)?
        } else {
            let file = file.rename(&options.rename)?;
            let mut report = LoadReport::default();
            self.load_parts(&file, &options.prefix, options, &mut report)?;
            report
        };
        self.origin.loaded = Some(Arc::new(report.clone()));
        Ok(report)
    }

    /// Loads the parameters that are not of a part. A model that had none yet has none if this fails.
    fn load_own(&mut self, file: &TensorFile, options: &LoadOptions) -> Result<LoadReport> {
        let loaded = file.load_into(&mut self.params, options);
        if loaded.is_err() && matches!(self.copied, Copied::Unset) {
            return loaded;
        }
        let packed = self.pack();
        loaded.and_then(|report| packed.map(|()| report))
    }

    /// Loads what lies behind the prefix, and behind it and each part's name.
    fn load_parts(
        &mut self,
        file: &TensorFile,
        prefix: &str,
        options: &LoadOptions,
        report: &mut LoadReport,
    ) -> Result<()> {
        if !self.spec.layers.is_empty() {
            let mut own = options.clone();
            own.prefix = prefix.into();
            own.rename.clear();
            for (part, _) in &self.parts {
                let part = format!("{prefix}{part}.");
                own.left_aside.extend(file.names().filter(|name| name.starts_with(&part)).map(Into::into));
            }
            let loaded = self.load_own(file, &own)?;
            for converted in loaded.converted {
                match report.converted.iter_mut().find(|other| other.from == converted.from) {
                    Some(other) => other.tensors += converted.tensors,
                    None => report.converted.push(converted),
                }
            }
        }
        for (name, part) in &mut self.parts {
            part.load_parts(file, &format!("{prefix}{name}."), options, report)?;
        }
        Ok(())
    }

    /// Writes the model to a safetensors file: its parameters under PyTorch's names, those of a part behind the part's
    /// name, and in the metadata its spec and what [`metadata`](Self::metadata) has. PyTorch loads the file strictly into the module that it is of. The file
    /// appears whole or not at all.
    ///
    /// ```no_run
    /// use elman::{Lstm, Rng};
    ///
    /// let model = Lstm::builder(3, 8).linear("fc", 1).model(&mut Rng::new(1))?;
    /// model.save("model.safetensors")?;
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) as of [`write_atomic`], and those of [`to_bytes`](Self::to_bytes).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, NO_METADATA)
    }

    /// The same with more metadata, in place of the model's own where the keys are the same: how the model was trained, or
    /// what its input is.
    ///
    /// # Errors
    /// As of [`save`](Self::save), and [`ErrorKind::Setting`](crate::ErrorKind::Setting) for a key that is there twice, as
    /// that of the spec is.
    pub fn save_with<K: AsRef<str>, V: AsRef<str>>(
        &self,
        path: impl AsRef<Path>,
        metadata: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        write_atomic(path, &self.encode(metadata)?)
    }

    /// The bytes of the file that [`save`](Self::save) writes: the same for the same model.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](crate::ErrorKind::Stale) where [`run`](Self::run) would be, of a part too; those of
    /// [`tensors_to_bytes`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.encode(NO_METADATA)
    }

    fn encode<K: AsRef<str>, V: AsRef<str>>(&self, metadata: impl IntoIterator<Item = (K, V)>) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        self.tensors("", &mut tensors)?;
        let tensors: Vec<_> = tensors.iter().map(|(name, shape, values)| (&name[..], *shape, *values)).collect();
        let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
        let mut all = vec![pair(SPEC_KEY, &self.spec.to_string())];
        all.extend(metadata.into_iter().map(|(key, value)| pair(key.as_ref(), value.as_ref())));
        let own = self.all_metadata().filter(|&(key, _)| all.iter().all(|(given, _)| given != key));
        let own: Vec<_> = own.map(|(key, value)| pair(key, value)).collect();
        all.extend(own);
        tensors_to_bytes(&tensors, all)
    }

    /// Appends every tensor, its name behind `prefix`.
    fn tensors<'a>(&'a self, prefix: &str, all: &mut Vec<Tensor<'a>>) -> Result<()> {
        // Parameters of another model would contradict the spec, and zeros that were never set would pass for trained ones.
        self.check_fresh(if prefix.is_empty() { "model" } else { prefix.trim_end_matches('.') })?;
        all.extend(self.params.iter().map(|(name, shape, values)| (format!("{prefix}{name}"), shape, values)));
        self.parts.iter().try_for_each(|(name, part)| part.tensors(&format!("{prefix}{name}."), all))
    }
}
