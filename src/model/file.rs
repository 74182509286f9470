//! A model as a file: opened, loaded, saved.

use std::path::Path;

use super::{Model, ModelSpec};
use crate::error::Result;
use crate::format::{LoadOptions, LoadReport, NO_METADATA, SPEC_KEY, TensorFile, tensors_to_bytes, write_atomic};

/// A tensor to be written: name, shape, elements.
type Tensor<'a> = (String, &'a [usize], &'a [f32]);

impl Model {
    /// Reads a model from a safetensors file: one that [`save`](Self::save) wrote, or a state dict of PyTorch's in which
    /// one reading exists, as [`ModelSpec::from_file`] has it and says.
    ///
    /// ```no_run
    /// use elman::Model;
    /// use elman::tensor::Seq;
    ///
    /// let model = Model::open("lstm.safetensors")?;
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
        Ok(model)
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
        if self.parts.is_empty() {
            return file.load_into(&mut self.params_mut(), options);
        }
        let file = file.rename(&options.rename)?;
        let mut report = LoadReport::default();
        self.load_parts(&file, &options.prefix, options, &mut report)?;
        Ok(report)
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
            let loaded = file.load_into(&mut self.params_mut(), &own)?;
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
    /// name, and its spec in the metadata. PyTorch loads the file strictly into the module that it is of. The file
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

    /// The same with more metadata: how the model was trained, or what its input is.
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
    /// As of [`tensors_to_bytes`]: names that are taken twice, as a part's and a layer's may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.encode(NO_METADATA)
    }

    fn encode<K: AsRef<str>, V: AsRef<str>>(&self, metadata: impl IntoIterator<Item = (K, V)>) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        self.tensors("", &mut tensors);
        let tensors: Vec<_> = tensors.iter().map(|(name, shape, values)| (&name[..], *shape, *values)).collect();
        let more = metadata.into_iter().map(|(key, value)| (key.as_ref().to_string(), value.as_ref().to_string()));
        tensors_to_bytes(&tensors, [(SPEC_KEY.to_string(), self.spec.to_string())].into_iter().chain(more))
    }

    fn tensors<'a>(&'a self, prefix: &str, all: &mut Vec<Tensor<'a>>) {
        all.extend(self.params.iter().map(|(name, shape, values)| (format!("{prefix}{name}"), shape, values)));
        for (name, part) in &self.parts {
            part.tensors(&format!("{prefix}{name}."), all);
        }
    }
}
