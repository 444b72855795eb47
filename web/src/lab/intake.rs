//! Files and folders the user gave: walked through, known apart by their beginnings, and handed to the tab they are for.

use super::state::Lab;
use crate::logs;
use js_sys::{Array, Promise};
use leptos::prelude::*;
use plimsoll_protocol::view::Tab;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

/// Most files of folders that are taken at once.
const MAX_FILES: usize = 2000;

/// Files for a tab.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The files, by name.
    pub files: Vec<File>,
    /// Whether they came out of a folder, where much may lie that is not meant.
    pub is_folder: bool,
}

/// Takes what the user gave and opens the tab it is for.
pub fn take(lab: Lab, given: Vec<JsValue>) {
    leptos::task::spawn_local(async move {
        let is_folder = given.iter().any(|found| found.dyn_ref::<File>().is_none_or(is_of_folder));
        let (files, num_left) = flat(given).await;
        if num_left > 0 {
            let text = format!("The folder holds more than {MAX_FILES} files; the first {MAX_FILES} are looked at.");
            lab.page(|page| page.say(&text));
        }
        if files.is_empty() {
            return lab.page(|page| page.say("The folder holds no files."));
        }
        if let Some((name, text)) = model_in(&files).await {
            return match Blob::new_with_str_sequence(&Array::of1(&text.into())) {
                Ok(blob) => lab.page(|page| page.keep(&blob, &name, "", "")),
                Err(_) => lab.page(|page| page.say("The browser does not let the page read the folder.")),
            };
        }
        let files: Vec<File> = files.into_iter().map(|(_, file)| file).collect();
        let tab = tab_of(lab, &files).await;
        lab.page(|page| page.show(tab.id()));
        lab.files.set(Some((tab, Given { files, is_folder })));
    });
}

/// Files of a model's folder that are read, by name; weights are not.
const MODEL_FILES: [&str; 3] = ["config.json", "hf_quant_config.json", "model.safetensors.index.json"];

/// What is read of a model's folder, as one object by the files' names, with the folder's name; none if it is no such
/// folder.
async fn model_in(files: &[(String, File)]) -> Option<(String, String)> {
    let (path, _) = files.iter().find(|(_, file)| file.name() == MODEL_FILES[0])?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut members = Vec::new();
    for name in MODEL_FILES {
        let is_it = |(path, file): &&(String, File)| {
            file.name() == name && path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder
        };
        let Some((_, file)) = files.iter().find(is_it) else { continue };
        let text = JsFuture::from(file.text()).await.ok()?.as_string()?;
        if name == MODEL_FILES[0] && !(text.contains("\"model_type\"") || text.contains("\"architectures\"")) {
            return None;
        }
        members.push(format!("\"{name}\":{text}"));
    }
    let name = folder.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(MODEL_FILES[0]);
    Some((name.to_owned(), format!("{{{}}}", members.join(","))))
}

/// The tab that files are for: a ServeGen folder is a workload, a log among them makes all of them logs.
async fn tab_of(lab: Lab, files: &[File]) -> Tab {
    if files.iter().any(|file| is_chunk(&file.name())) {
        return Tab::Workload;
    }
    if lab.tab.get_untracked() == Some(Tab::Calibrate) {
        return Tab::Calibrate;
    }
    for file in files {
        if logs::is_log(&logs::head(file).await) {
            return Tab::Calibrate;
        }
    }
    Tab::Workload
}

/// Whether a file of this name is a part of a ServeGen folder.
pub fn is_chunk(name: &str) -> bool {
    name.starts_with("chunk-") && (name.ends_with("-trace.csv") || name.ends_with("-dataset.json"))
}

/// Whether a file was chosen with its folder.
fn is_of_folder(file: &File) -> bool {
    !path_of(file).is_empty()
}

/// The path of a file that was chosen with its folder; empty for others.
fn path_of(file: &File) -> String {
    let path = js_sys::Reflect::get(file, &"webkitRelativePath".into());
    path.ok().and_then(|path| path.as_string()).unwrap_or_default()
}

/// Every file in what was given with its path, those of folders by path and without hidden ones; and how many there were beyond the most that are taken.
async fn flat(given: Vec<JsValue>) -> (Vec<(String, File)>, usize) {
    let mut files: Vec<(String, File)> = Vec::new();
    let mut entries: Vec<FileSystemEntry> = Vec::new();
    let mut num_left = 0;
    let mut keep = |path: String, file: File| {
        if file.name().starts_with('.') {
            return;
        }
        if files.len() < MAX_FILES {
            files.push((path, file));
        } else {
            num_left += 1;
        }
    };
    for found in given {
        match found.dyn_into::<File>() {
            Ok(file) => keep(path_of(&file), file),
            Err(entry) => entries.push(entry.unchecked_into()),
        }
    }
    while let Some(entry) = entries.pop() {
        if entry.is_directory() {
            entries.extend(children(entry.unchecked_ref()).await);
        } else if let Some(file) = file_of(entry.unchecked_ref()).await {
            keep(entry.full_path(), file);
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    (files, num_left)
}

/// What lies in a folder; a folder that cannot be read has nothing.
async fn children(folder: &FileSystemDirectoryEntry) -> Vec<FileSystemEntry> {
    let reader = folder.create_reader();
    let mut found = Vec::new();
    loop {
        // A browser gives a hundred at a time, and none when there are no more.
        let mut read = |resolve: js_sys::Function, reject: js_sys::Function| {
            if let Err(reason) = reader.read_entries_with_callback_and_callback(&resolve, &reject) {
                // A promise that is refused twice stays refused.
                let _ = reject.call1(&JsValue::NULL, &reason);
            }
        };
        let Ok(part) = JsFuture::from(Promise::new(&mut read)).await else { return found };
        let part = Array::from(&part);
        if part.length() == 0 {
            return found;
        }
        found.extend(part.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
    }
}

async fn file_of(entry: &FileSystemFileEntry) -> Option<File> {
    let mut read = |resolve: js_sys::Function, reject: js_sys::Function| {
        entry.file_with_callback_and_callback(&resolve, &reject);
    };
    JsFuture::from(Promise::new(&mut read)).await.ok()?.dyn_into().ok()
}
