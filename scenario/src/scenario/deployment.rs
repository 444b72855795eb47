//! Which model, accelerators and server version a scenario means, with what the catalogue fills in.

use super::{AcceleratorChoice, Deployment, ModelChoice, Scheduling, ServerVersion};
use crate::catalog::{AcceleratorSpec, Catalog, CoefficientRow, Lookup, ModelDefault, ModelSpec};
use crate::diagnostic::Diagnostic;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// More accelerators than any replica has; a larger number is a slip of the pen.
const MAX_TENSOR_PARALLEL_SIZE: u32 = 1024;

/// A deployment with the catalogue's entries in place of ids.
#[derive(Debug)]
pub(super) struct KnownDeployment<'a> {
    pub model_id: String,
    /// The architecture, if there is one.
    pub model: Option<&'a ModelSpec>,
    pub accelerator_id: String,
    /// The data sheet, if there is one.
    pub accelerator: Option<&'a AcceleratorSpec>,
    /// Whether the data sheet is the user's own.
    pub has_custom_accelerator: bool,
    pub tensor_parallel_size: u32,
    /// Which of its coefficients are wanted.
    pub coefficients_of: CoefficientsOf,
    pub filled_in: Vec<String>,
}

/// Which of a deployment's coefficient rows is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CoefficientsOf {
    /// The first row.
    Any,
    /// That of the server named so, and no other.
    Named(String),
    /// That of the release nearest to this one.
    Nearest(ServerVersion),
}

impl KnownDeployment<'_> {
    /// The coefficient row trained on exactly this deployment.
    pub fn row<'c>(&self, catalog: &'c Catalog) -> Option<&'c CoefficientRow> {
        let lookup = |engine_version| Lookup {
            model: &self.model_id,
            accelerator: Some(&self.accelerator_id),
            tensor_parallel_size: Some(self.tensor_parallel_size),
            engine_version,
        };
        match &self.coefficients_of {
            CoefficientsOf::Any => catalog.coefficient_row(lookup(None)),
            CoefficientsOf::Named(name) => catalog.coefficient_row(lookup(Some(name))),
            // Of rows that are as near the first; one that names no release is farthest.
            CoefficientsOf::Nearest(wanted) => catalog.coefficient_rows(lookup(None)).min_by_key(|row| {
                ServerVersion::parse(&row.engine_version).map_or(u64::MAX, |version| version.distance(*wanted))
            }),
        }
    }
}

/// Looks a deployment up.
///
/// With `is_lenient` the names need not be known, because the scenario brings its own coefficients.
/// Errors are added to `diagnostics`; the result is none if one of them makes the deployment unusable.
pub(super) fn look_up<'a>(
    deployment: &'a Deployment,
    scheduling: Scheduling,
    catalog: &'a Catalog,
    is_lenient: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<KnownDeployment<'a>> {
    let mut filled_in = Vec::new();
    let model = look_up_model(&deployment.model, catalog, is_lenient, diagnostics);
    let model_id = match (&model, &deployment.model) {
        (Some(Some(spec)), _) => spec.id.clone(),
        (_, ModelChoice::Id(id)) => id.trim().to_string(),
        (_, ModelChoice::Custom(spec)) => spec.id.trim().to_string(),
    };
    let default = catalog.model_default(&model_id);
    // Nothing can be said about what is left out while the model itself is unknown.
    let is_model_known = model.is_some();

    let accelerator = match &deployment.accelerator {
        Some(choice) => look_up_accelerator(choice, catalog, is_lenient, diagnostics),
        None => match default.and_then(|default| catalog.accelerator(&default.accelerator)) {
            Some(spec) => {
                filled_in.push(format!("accelerator {} (default of the model)", spec.id));
                Some((spec.id.clone(), Some(spec)))
            }
            None if is_lenient => Some((String::new(), None)),
            None => {
                if is_model_known {
                    let ids: Vec<&str> = catalog.accelerators.iter().map(|spec| spec.id.as_str()).collect();
                    diagnostics.push(
                        Diagnostic::error(
                            "missing-accelerator",
                            "deployment.accelerator",
                            format!("there is no default accelerator for {model_id}"),
                        )
                        .with_hint(format!("choose one of {}", ids.join(", "))),
                    );
                }
                None
            }
        },
    };

    let tensor_parallel_size =
        tensor_parallel_size(deployment, default, is_lenient, is_model_known, &mut filled_in, diagnostics);

    let named = deployment.server_version.as_deref().map(str::trim).filter(|version| !version.is_empty());
    let coefficients_of = match (scheduling, named, default) {
        (Scheduling::VllmV1, ..) => {
            CoefficientsOf::Nearest(deployment.named_version().unwrap_or(ServerVersion::NEWEST))
        }
        (Scheduling::Reference, Some(name), _) => CoefficientsOf::Named(name.to_string()),
        (Scheduling::Reference, None, Some(default)) => {
            filled_in.push(format!("server_version {} (default of the model)", default.engine_version));
            CoefficientsOf::Named(default.engine_version.clone())
        }
        (Scheduling::Reference, None, None) => CoefficientsOf::Any,
    };

    let (accelerator_id, accelerator) = accelerator?;
    Some(KnownDeployment {
        model_id,
        model: model?,
        accelerator_id,
        accelerator,
        has_custom_accelerator: matches!(deployment.accelerator, Some(AcceleratorChoice::Custom(_))),
        tensor_parallel_size: tensor_parallel_size?,
        coefficients_of,
        filled_in,
    })
}

fn tensor_parallel_size(
    deployment: &Deployment,
    default: Option<&ModelDefault>,
    is_lenient: bool,
    is_model_known: bool,
    filled_in: &mut Vec<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<u32> {
    const PATH: &str = "deployment.tensor_parallel_size";
    match (deployment.tensor_parallel_size, default) {
        (Some(size), _) if (1..=MAX_TENSOR_PARALLEL_SIZE).contains(&size) => Some(size),
        (Some(size), _) => {
            let message = format!("tensor_parallel_size is {size}");
            diagnostics.push(
                Diagnostic::error("invalid-value", PATH, message)
                    .with_hint(format!("give a number from 1 to {MAX_TENSOR_PARALLEL_SIZE}")),
            );
            None
        }
        (None, Some(default)) => {
            filled_in.push(format!("tensor_parallel_size {} (default of the model)", default.tensor_parallel_size));
            Some(default.tensor_parallel_size)
        }
        (None, None) if is_lenient => Some(1),
        (None, None) => {
            if is_model_known {
                diagnostics.push(
                    Diagnostic::error(
                        "missing-tensor-parallel-size",
                        PATH,
                        "there is no default tensor_parallel_size for this model",
                    )
                    .with_hint("give the number of accelerators per replica, e.g. 1"),
                );
            }
            None
        }
    }
}

/// The outer option says whether the choice can be used, the inner one whether there is an architecture.
fn look_up_model<'a>(
    choice: &'a ModelChoice,
    catalog: &'a Catalog,
    is_lenient: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Option<&'a ModelSpec>> {
    let id = match choice {
        ModelChoice::Custom(spec) => {
            let problems = spec.problems();
            let is_usable = problems.is_empty();
            diagnostics.extend(under("deployment.model", problems));
            return is_usable.then_some(Some(&**spec));
        }
        ModelChoice::Id(id) => id.trim(),
    };
    if let Some(spec) = catalog.model(id) {
        return Some(Some(spec));
    }
    let has_rows = catalog.coefficient_row(Lookup { model: id, ..Lookup::default() }).is_some();
    if has_rows || is_lenient {
        return Some(None);
    }
    if let Some(spec) = catalog.model_meant(id) {
        let message = format!("{id} is taken for {}, the only model whose name has it", spec.id);
        diagnostics.push(Diagnostic::note("model-by-name", "deployment.model", message));
        return Some(Some(spec));
    }
    let (message, hint) = if id.is_empty() {
        (String::from("no model is given"), String::from("choose one, e.g. meta-llama/llama-3.1-8b-instruct"))
    } else {
        let question = catalog.model_question(id);
        (format!("model {id} is not in the catalogue"), suggestion(question, "or give its config.json"))
    };
    diagnostics.push(Diagnostic::error("unknown-model", "deployment.model", message).with_hint(hint));
    None
}

fn look_up_accelerator<'a>(
    choice: &'a AcceleratorChoice,
    catalog: &'a Catalog,
    is_lenient: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(String, Option<&'a AcceleratorSpec>)> {
    let id = match choice {
        AcceleratorChoice::Custom(spec) => {
            let problems = spec.problems();
            let is_usable = problems.is_empty();
            diagnostics.extend(under("deployment.accelerator", problems));
            return is_usable.then(|| (spec.id.trim().to_string(), Some(&**spec)));
        }
        AcceleratorChoice::Id(id) => id.trim(),
    };
    if let Some(spec) = catalog.accelerator(id) {
        return Some((spec.id.clone(), Some(spec)));
    }
    if is_lenient {
        return Some((id.to_string(), None));
    }
    diagnostics.push(
        Diagnostic::error(
            "unknown-accelerator",
            "deployment.accelerator",
            format!("accelerator {id} is not in the catalogue"),
        )
        .with_hint(format!("{}, or a data sheet of your own", catalog.meant_accelerator(id))),
    );
    None
}

fn suggestion(question: Option<String>, otherwise: &str) -> String {
    question.map_or_else(|| otherwise.to_string(), |question| format!("{question} {otherwise}"))
}

/// The diagnostics with their paths below `root`.
pub(super) fn under(root: &str, diagnostics: Vec<Diagnostic>) -> impl Iterator<Item = Diagnostic> {
    diagnostics.into_iter().map(move |mut diagnostic| {
        diagnostic.path =
            if diagnostic.path.is_empty() { root.to_string() } else { format!("{root}.{}", diagnostic.path) };
        diagnostic
    })
}
