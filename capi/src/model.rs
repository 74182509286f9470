//! Models: read once, then shared by any number of streams and threads.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use elman::format::SPEC_KEY;
use elman::{LayerKind, Model};

use crate::border::{Answer, Refused, answer, refuse};
use crate::handle::{Content, Handle, collect, null};
use crate::status::ElmanStatus;
use crate::{entry, same_signatures};

/// A model, read from a file. It does not change, and may be used by all threads at once.
pub struct ElmanModel {
    _opaque: [u8; 0],
}

/// What an [`ElmanModel`] is.
pub(crate) struct ModelContent {
    pub(crate) model: Arc<Model>,
    /// Numbers of a state of one row.
    pub(crate) state_size: usize,
    /// How many indices the first layer knows; 0 where it takes features.
    pub(crate) vocabulary: usize,
    references: AtomicUsize,
    isa: CString,
    /// Keys and values, for C.
    metadata: Vec<(CString, CString)>,
}

impl Content for ModelContent {
    type Opaque = ElmanModel;
    const ALIVE: u64 = u64::from_le_bytes(*b"el-model");
    const NAME: &'static str = "model";
}

impl ModelContent {
    fn new(model: Model) -> Answer<Self> {
        let state = model.zero_state(1)?;
        let vocabulary = match model.spec().layers.first().map(|layer| &layer.kind) {
            Some(LayerKind::Embedding { vocabulary, .. }) => *vocabulary,
            _ => 0,
        };
        let spec = model.spec().to_string();
        let all = model.all_metadata().chain([(SPEC_KEY, &spec[..])]);
        // A text with a zero in it cannot be handed to C, and is left out.
        let pair = |(key, value)| Some((CString::new(key).ok()?, CString::new(value).ok()?));
        Ok(Self {
            state_size: state.h().len() + state.c().len(),
            vocabulary,
            references: AtomicUsize::new(1),
            isa: CString::new(model.isa().name()).unwrap_or_default(),
            metadata: all.filter_map(pair).collect(),
            model: Arc::new(model),
        })
    }
}

/// Reads a model from a safetensors file: one that Elman saved, or a state dict of PyTorch's in which one reading exists.
/// `path` is UTF-8, on Unix any bytes. `*model` receives the handle, with one reference; NULL where the call fails.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_open(path: *const c_char, model: *mut *mut ElmanModel) -> ElmanStatus {
    entry!(open(path, model))
}

unsafe extern "C" fn open(path: *const c_char, model: *mut *mut ElmanModel) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises that it can be written.
        let model = unsafe { out("model", model)? };
        *model = std::ptr::null_mut();
        collect();
        // SAFETY: C promises a text that ends in a zero.
        let path = unsafe { text("path", path)? };
        *model = Handle::allocate(ModelContent::new(Model::open(as_path(path)?)?)?);
        Ok(())
    })
}

#[cfg(unix)]
fn as_path(path: &CStr) -> Answer<&Path> {
    use std::os::unix::ffi::OsStrExt;

    Ok(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())))
}

#[cfg(not(unix))]
fn as_path(path: &CStr) -> Answer<&Path> {
    path.to_str().map(Path::new).map_err(|_| refuse(ElmanStatus::Value, "path: expected UTF-8, got other bytes"))
}

/// The same from the `len` bytes of such a file, which are not needed any more afterwards.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_from_bytes(
    bytes: *const c_void,
    len: usize,
    model: *mut *mut ElmanModel,
) -> ElmanStatus {
    entry!(from_bytes(bytes, len, model))
}

unsafe extern "C" fn from_bytes(bytes: *const c_void, len: usize, model: *mut *mut ElmanModel) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises that it can be written.
        let model = unsafe { out("model", model)? };
        *model = std::ptr::null_mut();
        collect();
        if bytes.is_null() {
            return Err(null("bytes"));
        }
        // SAFETY: it is not NULL, and C promises that `len` bytes are there.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) };
        *model = Handle::allocate(ModelContent::new(Model::from_bytes(bytes)?)?);
        Ok(())
    })
}

/// One more reference to the model, to be given back by `elman_model_unref`.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_ref(model: *mut ElmanModel) -> ElmanStatus {
    entry!(reference(model))
}

unsafe extern "C" fn reference(model: *mut ElmanModel) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that is not collected.
        unsafe { content(model)? }.references.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

/// Gives a reference back and sets `*model` to NULL. With the last one the model is freed for C, but its memory only by the
/// next `elman_collect`; streams over it go on.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_unref(model: *mut *mut ElmanModel) -> ElmanStatus {
    entry!(unreference(model))
}

unsafe extern "C" fn unreference(model: *mut *mut ElmanModel) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises that it can be written.
        let model = unsafe { out("model", model)? };
        // SAFETY: C promises a handle that is not collected.
        let last = unsafe { content(*model)? }.references.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            // SAFETY: the last reference was this call's.
            unsafe { Handle::<ModelContent>::retire(*model)? };
        }
        *model = std::ptr::null_mut();
        Ok(())
    })
}

/// Frees the memory of all models and streams that were given back or freed since the last call, and answers how many
/// there were. Those that make models and streams, `elman_model_open`, `elman_model_from_bytes` and `elman_stream_new`, do
/// the same.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub extern "C" fn elman_collect() -> usize {
    entry!(collect_all())
}

extern "C" fn collect_all() -> usize {
    let mut count = 0;
    answer(|| {
        count = collect();
        Ok(())
    });
    count
}

/// Features of an input's step; 1 where it is an index.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_inputs(model: *const ElmanModel, inputs: *mut usize) -> ElmanStatus {
    entry!(inputs_of(model, inputs))
}

unsafe extern "C" fn inputs_of(model: *const ElmanModel, inputs: *mut usize) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "inputs", inputs, |it| Ok(it.model.inputs())) }
}

/// Features of an output's step.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_outputs(model: *const ElmanModel, outputs: *mut usize) -> ElmanStatus {
    entry!(outputs_of(model, outputs))
}

unsafe extern "C" fn outputs_of(model: *const ElmanModel, outputs: *mut usize) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "outputs", outputs, |it| Ok(it.model.outputs())) }
}

/// Entries of the model's list of layers: embedding, recurrent, linear, activation, read-out.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_layers(model: *const ElmanModel, layers: *mut usize) -> ElmanStatus {
    entry!(layers_of(model, layers))
}

unsafe extern "C" fn layers_of(model: *const ElmanModel, layers: *mut usize) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "layers", layers, |it| Ok(it.model.spec().layers.len())) }
}

/// Numbers of one row's state: h of every recurrent layer, then c of every LSTM layer.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_state_size(model: *const ElmanModel, size: *mut usize) -> ElmanStatus {
    entry!(state_size_of(model, size))
}

unsafe extern "C" fn state_size_of(model: *const ElmanModel, size: *mut usize) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "size", size, |it| Ok(it.state_size)) }
}

/// How many indices a model that begins with an embedding knows; 0 for all others.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_vocabulary(model: *const ElmanModel, vocabulary: *mut usize) -> ElmanStatus {
    entry!(vocabulary_of(model, vocabulary))
}

unsafe extern "C" fn vocabulary_of(model: *const ElmanModel, vocabulary: *mut usize) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "vocabulary", vocabulary, |it| Ok(it.vocabulary)) }
}

/// The tier of instructions that the model runs on, such as "avx512". The text lives as long as the model.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_isa(model: *const ElmanModel, isa: *mut *const c_char) -> ElmanStatus {
    entry!(isa_of(model, isa))
}

unsafe extern "C" fn isa_of(model: *const ElmanModel, isa: *mut *const c_char) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "isa", isa, |it| Ok(it.isa.as_ptr())) }
}

/// The sample rate in Hz of the signals that the model was trained on: the metadata's key "sample_rate".
/// ELMAN_STATUS_ABSENT where the file does not say it.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_sample_rate(model: *const ElmanModel, hz: *mut f64) -> ElmanStatus {
    entry!(sample_rate_of(model, hz))
}

unsafe extern "C" fn sample_rate_of(model: *const ElmanModel, hz: *mut f64) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "hz", hz, |it| it.model.sample_rate()?.ok_or_else(|| absent("sample_rate"))) }
}

/// The analogue level in dBu of a 1 kHz sine of amplitude 1 (0 dBFS) at the input: the key "input_level_dbu".
/// ELMAN_STATUS_ABSENT where the file does not say it.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_input_level(model: *const ElmanModel, dbu: *mut f64) -> ElmanStatus {
    entry!(input_level_of(model, dbu))
}

unsafe extern "C" fn input_level_of(model: *const ElmanModel, dbu: *mut f64) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "dbu", dbu, |it| it.model.input_level()?.ok_or_else(|| absent("input_level_dbu"))) }
}

/// The same at the output: the key "output_level_dbu".
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_output_level(model: *const ElmanModel, dbu: *mut f64) -> ElmanStatus {
    entry!(output_level_of(model, dbu))
}

unsafe extern "C" fn output_level_of(model: *const ElmanModel, dbu: *mut f64) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "dbu", dbu, |it| it.model.output_level()?.ok_or_else(|| absent("output_level_dbu"))) }
}

/// How loud the model's output is, in dB relative to 1: the key "loudness". ELMAN_STATUS_ABSENT where the file does not say
/// it.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_loudness(model: *const ElmanModel, db: *mut f64) -> ElmanStatus {
    entry!(loudness_of(model, db))
}

unsafe extern "C" fn loudness_of(model: *const ElmanModel, db: *mut f64) -> ElmanStatus {
    // SAFETY: passed on.
    unsafe { get(model, "db", db, |it| it.model.loudness()?.ok_or_else(|| absent("loudness"))) }
}

/// What the metadata of the model's file says under `key`, such as "sample_rate"; the model's layers as text are under
/// "elman.spec". ELMAN_STATUS_ABSENT, and NULL, where it says nothing. The text lives as long as the model.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_metadata(
    model: *const ElmanModel,
    key: *const c_char,
    value: *mut *const c_char,
) -> ElmanStatus {
    entry!(metadata_of(model, key, value))
}

unsafe extern "C" fn metadata_of(
    model: *const ElmanModel,
    key: *const c_char,
    value: *mut *const c_char,
) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises that it can be written.
        let value = unsafe { out("value", value)? };
        *value = std::ptr::null();
        // SAFETY: C promises a handle that is not collected.
        let ModelContent { metadata, .. } = unsafe { content(model)? };
        // SAFETY: C promises a text that ends in a zero.
        let key = unsafe { text("key", key)? };
        let found = metadata.iter().find(|(known, _)| known[..] == *key);
        let (_, found) = found.ok_or_else(|| absent(&key.to_string_lossy()))?;
        *value = found.as_ptr();
        Ok(())
    })
}

/// The metadata's key and value number `index`, from 0 on; ELMAN_STATUS_ABSENT, and NULL, behind the last. The texts live
/// as long as the model.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_model_metadata_at(
    model: *const ElmanModel,
    index: usize,
    key: *mut *const c_char,
    value: *mut *const c_char,
) -> ElmanStatus {
    entry!(metadata_at(model, index, key, value))
}

unsafe extern "C" fn metadata_at(
    model: *const ElmanModel,
    index: usize,
    key: *mut *const c_char,
    value: *mut *const c_char,
) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises that both can be written, and that they are two.
        let (key, value) = unsafe { (out("key", key)?, out("value", value)?) };
        (*key, *value) = (std::ptr::null(), std::ptr::null());
        // SAFETY: C promises a handle that is not collected.
        let ModelContent { metadata, .. } = unsafe { content(model)? };
        let Some((found, text)) = metadata.get(index) else {
            let sentence = format_args!("index: expected less than {} keys, got {index}", metadata.len());
            return Err(refuse(ElmanStatus::Absent, sentence));
        };
        (*key, *value) = (found.as_ptr(), text.as_ptr());
        Ok(())
    })
}

same_signatures!(
    elman_model_open = open,
    elman_model_from_bytes = from_bytes,
    elman_model_ref = reference,
    elman_model_unref = unreference,
    elman_collect = collect_all,
    elman_model_inputs = inputs_of,
    elman_model_outputs = outputs_of,
    elman_model_layers = layers_of,
    elman_model_state_size = state_size_of,
    elman_model_vocabulary = vocabulary_of,
    elman_model_isa = isa_of,
    elman_model_sample_rate = sample_rate_of,
    elman_model_input_level = input_level_of,
    elman_model_output_level = output_level_of,
    elman_model_loudness = loudness_of,
    elman_model_metadata = metadata_of,
    elman_model_metadata_at = metadata_at,
);

/// The model behind a handle.
///
/// # Safety
/// The pointer is NULL or to a handle that is not collected.
pub(crate) unsafe fn content<'a>(model: *const ElmanModel) -> Answer<&'a ModelContent> {
    // SAFETY: passed on.
    unsafe { Handle::<ModelContent>::shared(model) }
}

/// A place for a result.
///
/// # Safety
/// It is NULL, or can be read and written, by this call alone.
pub(crate) unsafe fn out<'a, T>(name: &str, pointer: *mut T) -> Answer<&'a mut T> {
    // SAFETY: passed on.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// Writes one fact of a model.
///
/// # Safety
/// As of [`content`] and [`out`].
unsafe fn get<T>(
    model: *const ElmanModel,
    name: &str,
    place: *mut T,
    fact: impl FnOnce(&ModelContent) -> Answer<T>,
) -> ElmanStatus {
    answer(|| {
        // SAFETY: passed on.
        let (place, model) = unsafe { (out(name, place)?, content(model)?) };
        *place = fact(model)?;
        Ok(())
    })
}

/// # Safety
/// It is NULL, or a text that ends in a zero.
unsafe fn text<'a>(name: &str, text: *const c_char) -> Answer<&'a CStr> {
    if text.is_null() {
        return Err(null(name));
    }
    // SAFETY: it is not NULL, and the caller promises the rest.
    Ok(unsafe { CStr::from_ptr(text) })
}

#[cold]
fn absent(key: &str) -> Refused {
    refuse(ElmanStatus::Absent, format_args!("metadata '{key}': the model's file does not say it"))
}
