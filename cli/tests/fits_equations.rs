//! `plimsoll fits`: each printed equation gives its printed result.

use std::process::Command;

fn ledger(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("fits").args(arguments).output().expect("it starts");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Operators, brackets and numbers of an equation; words are units and names.
fn symbols(equation: &str) -> Vec<String> {
    let mut symbols = Vec::new();
    let mut letters = equation.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_digit() {
            let mut number = String::from(letter);
            while let Some(next) = letters.next_if(|next| next.is_ascii_digit() || matches!(next, ',' | '.')) {
                number.push(next);
            }
            // A comma behind a number parts arguments.
            let is_end = number.ends_with(',');
            symbols.push(number.replace(',', ""));
            if is_end {
                symbols.push(",".into());
            }
        } else if letter.is_alphabetic() {
            let mut word = String::from(letter);
            while let Some(next) = letters.next_if(|next| next.is_alphanumeric() || matches!(next, '-' | '\'')) {
                word.push(next);
            }
            if matches!(word.as_str(), "min" | "max") {
                symbols.push(word);
            }
        } else if "+−×/()⌈⌉⌊⌋".contains(letter) {
            symbols.push(letter.to_string());
        }
    }
    symbols
}

struct Parser(std::iter::Peekable<std::vec::IntoIter<String>>);

impl Parser {
    fn sum(&mut self) -> f64 {
        let mut value = self.product();
        while let Some(sign) = self.0.next_if(|next| matches!(next.as_str(), "+" | "−")) {
            let next = self.product();
            value = if sign == "+" { value + next } else { value - next };
        }
        value
    }

    fn product(&mut self) -> f64 {
        let mut value = self.factor();
        while let Some(sign) = self.0.next_if(|next| matches!(next.as_str(), "×" | "/")) {
            let next = self.factor();
            value = if sign == "×" { value * next } else { value / next };
        }
        value
    }

    fn factor(&mut self) -> f64 {
        let first = self.0.next().expect("an operand");
        match first.as_str() {
            "(" | "⌈" | "⌊" => {
                let value = self.sum();
                self.0.next().expect("a closing bracket");
                match first.as_str() {
                    "⌈" => value.ceil(),
                    "⌊" => value.floor(),
                    _ => value,
                }
            }
            "min" | "max" => {
                self.0.next().expect("(");
                let left = self.sum();
                self.0.next().expect(",");
                let right = self.sum();
                self.0.next().expect(")");
                if first == "min" { left.min(right) } else { left.max(right) }
            }
            number => number.parse().unwrap_or_else(|_| panic!("{number} is no number")),
        }
    }
}

const GIB: f64 = 1_073_741_824.0;

/// Checks the equations of a ledger and tells how many there were.
fn checked(name: &str, ledger: &str) -> usize {
    let labels = [
        "weights",
        "peak activations",
        "buffers",
        "KV cache",
        "block",
        "blocks",
        "per sequence",
        "concurrency",
        "tokens",
    ];
    let mut count = 0;
    for line in ledger.lines().filter(|line| line.starts_with("  ")) {
        let label: String = line.chars().skip(2).take(22).collect();
        let rest: String = line.chars().skip(24).collect();
        let rest = rest.trim_start();
        let (value, equation) = rest.split_once("  ").unwrap_or((rest, ""));
        if !labels.contains(&label.trim()) || equation.is_empty() || equation.ends_with("as told") {
            continue;
        }
        // How many ranks there are is no operand.
        let equation = equation.split(", on each of").next().expect("a part").split(", stage").next().expect("a part");
        let printed = value.split(' ').next().expect("a number").replace(',', "");
        let digits = printed.split_once('.').map_or(0, |(_, behind)| behind.len());
        let printed: f64 = printed.parse().unwrap_or_else(|_| panic!("{name}: {line}"));
        let mut computed = Parser(symbols(equation).into_iter().peekable()).sum();
        if value.ends_with("GiB") && equation.contains("bytes") {
            computed /= GIB;
        }
        let half = 0.5 * 0.1_f64.powi(i32::try_from(digits).expect("few"));
        let allowed = if digits == 0 { 0.0 } else { half + 1e-9 };
        assert!((computed - printed).abs() <= allowed, "{name}: {computed} for\n{line}");
        count += 1;
    }
    count
}

#[test]
fn every_printed_equation_gives_its_printed_result() {
    let llama = "meta-llama/Llama-3.1-8B-Instruct";
    let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/truth/hf-configs/");
    let of_config = |folder: &str| format!("{configs}{folder}");
    let [gemma, next, deepseek, scout, jamba] =
        ["gemma-3-27b", "qwen3-next-80b-a3b", "deepseek-v3.2", "llama-4-scout", "jamba-1.5-mini"].map(of_config);
    let cases: &[&[&str]] = &[
        &[llama, "--hardware", "H100"],
        &[llama, "--hardware", "H100", "--vllm-version", "0.11"],
        &[llama, "--hardware", "RTX3090", "--vllm-version", "0.6", "--max-model-len", "8192"],
        &[llama, "--hardware", "H100", "--tp", "16", "--decode-context-parallel-size", "2"],
        &[llama, "--hardware", "H100", "--pp", "3"],
        &[llama, "--hardware", "H100", "--num-gpu-blocks-override", "29205"],
        &[llama, "--hardware", "H100", "--kv-cache-memory-bytes", "20G"],
        &["meta-llama/Llama-3.3-70B-Instruct", "--hardware", "H100"],
        &["meta-llama/Llama-3.3-70B-Instruct", "--hardware", "MI300X", "--tp", "2"],
        &["openai/gpt-oss-120b", "--hardware", "H100", "--tp", "2"],
        &["openai/gpt-oss-120b", "--hardware", "H100", "--tp", "2", "--vllm-version", "0.18"],
        &["qwen/qwen3-30b-a3b", "--hardware", "L40S", "--tp", "2", "--max-model-len", "8192"],
        &["mistralai/Mixtral-8x7B-v0.1", "--hardware", "H200", "--tp", "2", "--enable-expert-parallel"],
        &[&gemma, "--hardware", "H100", "--tp", "2", "--max-model-len", "32768"],
        &[&next, "--hardware", "H200", "--tp", "2", "--max-model-len", "32768"],
        &[&next, "--hardware", "H200", "--tp", "2", "--no-enable-prefix-caching"],
        &[&deepseek, "--hardware", "B200", "--tp", "8"],
        &[&scout, "--hardware", "H200", "--tp", "4", "--max-model-len", "131072"],
        &[&jamba, "--hardware", "H100", "--tp", "2", "--max-model-len", "131072"],
    ];
    for case in cases {
        let name = case.join(" ");
        let count = checked(&name, &ledger(case));
        assert!(count >= 5, "{name}: {count} equations");
    }
}

#[test]
fn the_parts_of_a_rank_are_printed_as_they_add_up() {
    let ledger = ledger(&["meta-llama/Llama-3.1-8B-Instruct", "--hardware", "H100"]);
    let gib = |label: &str| -> f64 {
        let line = ledger
            .lines()
            .find(|line| line.strip_prefix("  ").is_some_and(|line| line.starts_with(label)))
            .expect(label);
        line.split_whitespace().find_map(|word| word.parse().ok()).expect(label)
    };
    let parts = ["weights  ", "peak activations", "non-torch", "KV cache  ", "not used"].map(gib);
    let ledger: f64 = parts[..4].iter().sum();
    // 79.11 · 0.92 is 72.78.
    assert!((ledger - 72.78).abs() < 1e-9, "{parts:?}");
}
