//! Readers and writers of the files a user opens: scenarios, model configs, data sheets, traces.
//!
//! Every reader takes text and gives a checked value or every problem found, each with its place in the file.
//! Nothing is half-loaded, and no input makes a reader panic.

mod accelerator;
mod coefficients;
mod fields;
mod fit;
mod located;
mod model_config;
mod model_fields;
mod model_files;
mod optimizer;
mod place;
mod policy;
mod probe;
mod release_field;
mod scenario;
mod serve_line;
mod servegen;
mod study;
pub mod trace;
mod value;
mod workload_spec;

pub use accelerator::accelerator_from_text;
pub use coefficients::{CoefficientTables, coefficients_from_yaml};
pub use fit::{FIT_VERSION, FitFile, FittedLatency, TrainedOn, fit_from_yaml, fit_to_yaml};
pub use located::{Words, located};
pub use model_config::{model_and_parameters, model_from_files, model_from_hf_config, model_of_described};
pub use model_files::ModelFiles;
pub use optimizer::{OptimizerFile, RunGrid, RunSettings, RunSplit, optimizer_from_yaml};
pub use place::{excerpt, excerpt_of};
pub use policy::{PolicyBundle, policies_from_yaml};
pub use scenario::{scenario_from_json, scenario_from_yaml, scenario_remarks, scenario_to_yaml};
pub use serve_line::{Change, Decided, Reason, ServeLine, ServerRelease, serve_line, size};
pub use servegen::{ServeGenFile, servegen_clients};
pub use study::{STUDY_VERSION, StudyFile, StudyTrial, is_study, study_from_json, study_to_json};
pub use trace::trace_from_bytes;
pub use workload_spec::{ServeGenChoice, WorkloadSpec, workload_spec_from_yaml};
