//! ONNX Runtime: loads its library, verifies a network against its declaration, runs it from any thread.
//!
//! Goes in: a file with the digest in the manifest, and float32 tensors. Comes out: the declared outputs, in order.
//! Refused: a missing or too old runtime, an unavailable provider, a file with another digest or with external data,
//! and inputs or outputs other than declared. The only file that names `ort`.

mod onnx;

use crate::error::{Error, Result};
use crate::pack::{Layout, NetworkSpec, PackFiles, UNVERIFIED, hex};
use ndarray::ArrayViewD;
use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::{Session, builder::GraphOptimizationLevel};
use ort::value::{TensorElementType, TensorRef, ValueType};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// The ONNX Runtime of this process. Loaded on first use, not at import; never unloaded.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Load the ONNX Runtime library at `path`. Later calls keep the library that is loaded.
///
/// A library older than 1.20 is refused.
pub fn load_runtime(path: &Path) -> Result<()> {
    let _guard = lock(&LOADING);
    if ENVIRONMENT.get().is_some() {
        return Ok(());
    }
    let refused = |reason: String| Error::Runtime {
        reason,
        remedy: "install onnxruntime 1.20.1 or newer: pip install 'onnxruntime>=1.20.1'".to_string(),
    };
    if !path.is_file() {
        return Err(refused(format!("there is no library at {}", path.display())));
    }
    let builder = ort::init_from(path).map_err(|error| refused(error.to_string()))?;
    let environment =
        builder.with_name("facedex").with_telemetry(false).build().map_err(|error| refused(error.to_string()))?;
    // Failures are returned as errors and not logged as well.
    environment.set_log_level(ort::logging::LogLevel::Fatal);
    ENVIRONMENT.get_or_init(|| environment);
    Ok(())
}

/// Options for running networks.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Maximum number of sessions per network, and so of concurrent runs.
    pub sessions: usize,
    /// Threads within one run. More sessions gain more than more threads.
    pub intra_threads: usize,
    /// Execution providers by name, in order of preference; empty means the CPU.
    pub providers: Vec<String>,
}

/// A verified network with a pool of sessions. Any number of threads may call `run`; each run uses a session of its
/// own.
pub struct Network {
    spec: NetworkSpec,
    files: PackFiles,
    options: SessionOptions,
    pool: Mutex<Pool>,
    returned: Condvar,
    busy_ns: AtomicU64,
    /// Batch size that the file fixes, if any.
    fixed_batch: Option<usize>,
    /// Last axis of each output, if the file declares it.
    columns: Vec<Option<usize>>,
}

struct Pool {
    idle: Vec<Session>,
    opened: usize,
}

impl Network {
    /// Open a network of a pack; digest, input and outputs are checked against the declaration.
    pub fn open(files: &PackFiles, spec: &NetworkSpec, options: &SessionOptions) -> Result<Self> {
        let mut network = Self {
            spec: spec.clone(),
            files: files.clone(),
            options: SessionOptions { sessions: options.sessions.max(1), ..options.clone() },
            pool: Mutex::new(Pool { idle: Vec::new(), opened: 0 }),
            returned: Condvar::new(),
            busy_ns: AtomicU64::new(0),
            fixed_batch: None,
            columns: Vec::new(),
        };
        let session = network.open_session()?;
        network.check(&session)?;
        network.fixed_batch = session.inputs().iter().find_map(|outlet| {
            let first = outlet.dtype().tensor_shape()?.first().copied()?;
            usize::try_from(first).ok().filter(|_| outlet.name() == spec.input.name)
        });
        let columns = spec.outputs.iter().map(|name| {
            let outlet = session.outputs().iter().find(|outlet| outlet.name() == name)?;
            usize::try_from(outlet.dtype().tensor_shape()?.last().copied()?).ok()
        });
        network.columns = columns.collect();
        let mut pool = lock(&network.pool);
        pool.idle.push(session);
        pool.opened = 1;
        drop(pool);
        Ok(network)
    }

    /// The declaration that it was opened with.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Total time of all runs inside ONNX Runtime, nanoseconds.
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }

    /// Run on a batch of a shape (N, C, H, W); `read` borrows the declared outputs from the runtime, in order.
    pub fn run<T>(
        &self,
        shape: [usize; 4],
        values: &[f32],
        read: impl FnOnce(&[ArrayViewD<'_, f32>]) -> Result<T>,
    ) -> Result<T> {
        let mut session = self.acquire()?;
        let result = self.run_in(&mut session, shape, values, read);
        lock(&self.pool).idle.push(session);
        self.returned.notify_one();
        result
    }

    /// Run a network with one output of a row per input; returns the values of all rows, finite or not.
    pub fn run_rows(&self, shape: [usize; 4], values: &[f32], columns: usize) -> Result<Vec<f32>> {
        let expected = [shape[0], columns];
        self.run(shape, values, |outputs| match outputs {
            [output] if output.shape() == expected => Ok(output.iter().copied().collect()),
            [output] => Err(self.shape_error("output shape", &format!("{expected:?}"), output.shape())),
            _ => Err(self.shape_error("outputs", "1", &[outputs.len()])),
        })
    }

    fn run_in<T>(
        &self,
        session: &mut Session,
        shape: [usize; 4],
        values: &[f32],
        read: impl FnOnce(&[ArrayViewD<'_, f32>]) -> Result<T>,
    ) -> Result<T> {
        let failed = |reason: String| Error::NetworkRun { file: self.spec.file.clone(), reason };
        let input = TensorRef::from_array_view((shape, values)).map_err(|error| failed(error.to_string()))?;
        let started = Instant::now();
        let outputs = session.run(ort::inputs![self.spec.input.name.as_str() => input]);
        self.busy_ns.fetch_add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let outputs = outputs.map_err(|error| failed(error.to_string()))?;
        let views = self.spec.outputs.iter().map(|name| {
            let value = outputs.get(name).ok_or_else(|| failed(format!("output {name:?} is missing")))?;
            value.try_extract_array::<f32>().map_err(|error| failed(error.to_string()))
        });
        read(&views.collect::<Result<Vec<_>>>()?)
    }

    /// Take an idle session, open another one, or wait for one.
    fn acquire(&self) -> Result<Session> {
        let mut pool = lock(&self.pool);
        loop {
            if let Some(session) = pool.idle.pop() {
                return Ok(session);
            }
            if pool.opened < self.options.sessions {
                pool.opened += 1;
                drop(pool);
                return self.open_session().inspect_err(|_| {
                    lock(&self.pool).opened -= 1;
                    self.returned.notify_one();
                });
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Read the file, verify its digest and create a session from the same bytes.
    fn open_session(&self) -> Result<Session> {
        let file = &self.spec.file;
        let path = self.files.path(file)?;
        let unreadable = |reason: String| Error::NetworkLoad { file: file.clone(), reason };
        let bytes = std::fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
        let found = hex(&Sha256::digest(&bytes));
        let expected = self.files.pack.file(file).map(|spec| spec.sha256.clone()).unwrap_or_default();
        if expected == UNVERIFIED {
            return Err(Error::WeightsUnverified { pack: self.files.pack.name.clone(), file: file.clone() });
        }
        if found != expected {
            return Err(Error::WeightsDigest { file: file.clone(), expected, found });
        }
        onnx::check_self_contained(&bytes).map_err(unreadable)?;
        let environment = ENVIRONMENT.get().ok_or_else(|| Error::Runtime {
            reason: "it is not loaded".to_string(),
            remedy: "call load_runtime first".to_string(),
        })?;
        // Without a fixed input size, an arena would keep the memory of the largest input, and memory patterns that of
        // every size.
        let fixed_size = self.spec.input.size().is_some();
        let mut builder = Session::builder(environment)
            .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::All)?))
            .and_then(|b| Ok(b.with_intra_threads(self.options.intra_threads.max(1))?))
            .and_then(|b| Ok(b.with_intra_op_spinning(false)?))
            .and_then(|b| Ok(b.with_memory_pattern(fixed_size)?))
            .and_then(|b| Ok(b.with_execution_providers([cpu(fixed_size)])?))
            .and_then(|b| Ok(b.with_log_level(ort::logging::LogLevel::Fatal)?))
            .map_err(|error| unreadable(error.to_string()))?;
        for name in &self.options.providers {
            let refused = |reason: String| Error::Provider { provider: name.clone(), reason };
            let provider = provider(name, fixed_size)?;
            builder = builder.with_execution_providers([provider]).map_err(|error| refused(error.to_string()))?;
        }
        builder.commit_from_memory(&bytes).map_err(|error| unreadable(error.to_string()))
    }

    fn check(&self, session: &Session) -> Result<()> {
        let mismatch = |what: &str, expected: String, found: String| Error::NetworkMismatch {
            file: self.spec.file.clone(),
            what: what.to_string(),
            expected,
            found,
        };
        let names = |outlets: &[ort::value::Outlet]| {
            outlets.iter().map(|outlet| outlet.name().to_string()).collect::<Vec<_>>().join(", ")
        };
        let declared = &self.spec.input;
        let input = session
            .inputs()
            .iter()
            .find(|outlet| outlet.name() == declared.name)
            .ok_or_else(|| mismatch("input", declared.name.clone(), names(session.inputs())))?;
        let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = input.dtype() else {
            return Err(mismatch("input type", "float32 tensor".to_string(), format!("{:?}", input.dtype())));
        };
        let (height, width) = (declared.height.map(i64::from), declared.width.map(i64::from));
        let expected = match declared.layout {
            Layout::Nchw => [None, Some(3), height, width],
            Layout::Nhwc => [None, height, width, Some(3)],
        };
        let agrees = shape.len() == 4
            && expected.iter().zip(shape.iter()).all(|(want, &have)| have < 0 || want.is_none_or(|want| want == have));
        if !agrees {
            let want = expected.map(|side| side.map_or_else(|| "any".to_string(), |side| side.to_string()));
            return Err(mismatch("input shape", format!("({})", want.join(", ")), format!("{:?}", &shape[..])));
        }
        for name in &self.spec.outputs {
            let found = session.outputs().iter().find(|outlet| outlet.name() == name);
            let outlet = found.ok_or_else(|| mismatch("output", name.clone(), names(session.outputs())))?;
            if !matches!(outlet.dtype(), ValueType::Tensor { ty: TensorElementType::Float32, .. }) {
                return Err(mismatch("output type", "float32 tensor".to_string(), format!("{:?}", outlet.dtype())));
            }
        }
        Ok(())
    }

    /// The batch size of a run: `max`, or 1 if the file fixes it. A file that fixes another number is refused.
    pub fn batch(&self, max: usize) -> Result<usize> {
        match self.fixed_batch {
            None => Ok(max),
            Some(1) => Ok(1),
            Some(fixed) => Err(self.shape_error("batch", "any, or 1", &[fixed])),
        }
    }

    /// Refuse a file whose outputs declare another last axis than the family. Undeclared axes pass; other axes are not
    /// checked, because some files declare those of one input size only.
    pub fn check_columns(&self, columns: &[usize]) -> Result<()> {
        for ((name, &expected), found) in self.spec.outputs.iter().zip(columns).zip(&self.columns) {
            if found.is_some_and(|found| found != expected) {
                let what = format!("values per row of output {name:?}");
                return Err(self.shape_error(&what, &expected.to_string(), &found.map_or(vec![], |found| vec![found])));
            }
        }
        Ok(())
    }

    /// Create the error for an output of an unexpected shape.
    pub fn shape_error(&self, what: &str, expected: &str, found: &[usize]) -> Error {
        Error::NetworkMismatch {
            file: self.spec.file.clone(),
            what: what.to_string(),
            expected: expected.to_string(),
            found: format!("{found:?}"),
        }
    }
}

/// Create an execution provider by its ONNX Runtime name. An unavailable one is an error, never a fallback.
fn provider(name: &str, arena: bool) -> Result<ExecutionProviderDispatch> {
    match name {
        "CPUExecutionProvider" => Ok(cpu(arena)),
        "CUDAExecutionProvider" => Ok(ep::CUDA::default().build().error_on_failure()),
        _ => Err(Error::Provider {
            provider: name.to_string(),
            reason: "supported are CPUExecutionProvider and CUDAExecutionProvider".to_string(),
        }),
    }
}

/// Create the CPU provider, with or without an arena that keeps memory between runs.
fn cpu(arena: bool) -> ExecutionProviderDispatch {
    ep::CPU::default().with_arena_allocator(arena).build().error_on_failure()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
