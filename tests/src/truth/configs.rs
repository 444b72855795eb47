//! Which `config.json` a model of a table has.

use plimsoll_anatomy::hf_config_of_entry;
use plimsoll_configs::catalog;
use std::fs;
use std::path::{Path, PathBuf};

/// The project's own copies of tables and configs.
#[must_use]
pub fn own_tables() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("truth")
}

/// The text of the `config.json` of a model, from folders beside the table, else from the project's own.
///
/// `folder` is what the table says; where it says nothing, the folder is found by the model's name: the one called
/// like its last part, else the longest that the name begins with, as `gemma-3-27b` for `google/gemma-3-27b-it`. A model
/// without a folder that is in the catalogue has what the catalogue says of it.
///
/// # Errors
/// A model without a config.
pub fn config_of(model: &str, folder: &str, table: &Path) -> Result<String, String> {
    match (path_of(model, folder, table), catalog().model(model)) {
        (Ok(path), _) => fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display())),
        (Err(_), Some(known)) => Ok(hf_config_of_entry(known)),
        (Err(problem), None) => Err(problem),
    }
}

/// Where the `config.json` of a model is, as [`config_of`] finds it.
///
/// # Errors
/// A model without a config.
pub fn path_of(model: &str, folder: &str, table: &Path) -> Result<PathBuf, String> {
    let beside = table.parent().unwrap_or(Path::new("."));
    let places = [
        beside.to_path_buf(),
        beside.join("hf-configs"),
        beside.join("../data/hf-configs"),
        own_tables().join("hf-configs"),
    ];
    let name = if folder.is_empty() { model.rsplit('/').next().unwrap_or(model).to_lowercase() } else { folder.into() };
    let found = places.iter().find_map(|place| closest(place, &name, !folder.is_empty()));
    found.ok_or_else(|| format!("there is no config.json of {model}"))
}

fn closest(place: &Path, name: &str, is_exact: bool) -> Option<PathBuf> {
    let exact = place.join(name).join("config.json");
    if is_exact || exact.exists() {
        return exact.exists().then_some(exact);
    }
    let begins = |folder: &str| {
        name.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['-', '_'])) && place.join(folder).is_dir()
    };
    let folders = fs::read_dir(place).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let folder = folders.filter(|folder| begins(folder)).max_by_key(String::len)?;
    let path = place.join(folder).join("config.json");
    path.exists().then_some(path)
}
