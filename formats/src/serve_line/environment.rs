//! Variables that are set for a server.

/// A variable that is set; of its value is kept what a switch says, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub name: String,
    /// Whether it is on, of [`USE_V1`] and [`ALLOW_LONG`] where their value says so.
    pub is_on: Option<bool>,
}

/// Whether the server takes its V1 engine.
pub(super) const USE_V1: &str = "VLLM_USE_V1";

/// Whether the server takes a length beyond what its model is made for.
pub(super) const ALLOW_LONG: &str = "VLLM_ALLOW_LONG_MAX_MODEL_LEN";

/// Beginnings of the server's variables that concern no speed: logs, keys, addresses, folders, statistics of use.
const WITHOUT_EFFECT: [&str; 16] = [
    "VLLM_API_KEY",
    "VLLM_ASSETS_",
    "VLLM_CACHE_",
    "VLLM_CONFIG",
    "VLLM_DEBUG_",
    "VLLM_DO_NOT_TRACK",
    "VLLM_HOST_",
    "VLLM_HTTP_",
    "VLLM_IMAGE_",
    "VLLM_KEEP_ALIVE_",
    "VLLM_LOG",
    "VLLM_NO_USAGE_",
    "VLLM_PORT",
    "VLLM_SERVER_",
    "VLLM_USAGE_",
    "VLLM_USE_MODELSCOPE",
];

impl Variable {
    /// A variable with its value, which is not kept.
    pub fn new(name: &str, value: &str) -> Self {
        let is_switch = [USE_V1, ALLOW_LONG].contains(&name);
        let is_on = match value.trim().trim_matches(['"', '\'']).to_ascii_lowercase().as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        };
        Self { name: name.to_owned(), is_on: is_on.filter(|_| is_switch) }
    }

    /// Whether it may change what the server does, in a way that is not simulated.
    pub fn may_matter(&self) -> bool {
        self.name.starts_with("VLLM_") && !WITHOUT_EFFECT.iter().any(|start| self.name.starts_with(start))
    }
}

/// The variable that a word sets, as `HF_TOKEN=…` does.
pub(super) fn assigned(word: &str) -> Option<Variable> {
    let (name, value) = word.split_once('=')?;
    // `-eNAME=value` and `--env=NAME=value` of containers.
    if name == "--env" {
        return assigned(value).or_else(|| is_name(value).then(|| Variable::new(value, "")));
    }
    let name = name.strip_prefix("-e").unwrap_or(name);
    is_name(name).then(|| Variable::new(name, value))
}

fn is_name(name: &str) -> bool {
    let is_inner = |character: char| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_';
    name.starts_with(|character: char| character.is_ascii_uppercase() || character == '_') && name.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_value_nothing_is_kept_but_what_a_switch_says() {
        let of =
            |word: &str| assigned(word).map(|variable| (variable.name.clone(), variable.is_on, variable.may_matter()));
        let expected = |name: &str, is_on, matters| Some((name.to_owned(), is_on, matters));
        assert_eq!(of("VLLM_USE_V1=0"), expected(USE_V1, Some(false), true));
        assert_eq!(of("-eVLLM_USE_V1=1"), expected(USE_V1, Some(true), true));
        assert_eq!(of("--env=VLLM_ALLOW_LONG_MAX_MODEL_LEN=true"), expected(ALLOW_LONG, Some(true), true));
        assert_eq!(of("--env=HF_TOKEN"), expected("HF_TOKEN", None, false));
        assert_eq!(of("VLLM_ATTENTION_BACKEND=1"), expected("VLLM_ATTENTION_BACKEND", None, true));
        assert_eq!(of("VLLM_LOGGING_LEVEL=DEBUG"), expected("VLLM_LOGGING_LEVEL", None, false));
        assert_eq!(of("--max-num-seqs=8"), None);
        assert_eq!(of("name=8"), None);
    }
}
