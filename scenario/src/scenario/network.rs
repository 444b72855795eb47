//! How long messages are on their way between a client and its server (workload specification 7).

use super::{NetworkSettings, WorkloadSettings};

/// Bytes of a token on its way.
const BYTES_PER_TOKEN: f64 = 4.0;

impl NetworkSettings {
    /// Microseconds that this many tokens take on their way; 0 where the bandwidth is unlimited.
    #[must_use]
    pub fn transfer_us(&self, tokens: u32) -> f64 {
        if self.bandwidth_mbps <= 0.0 {
            return 0.0;
        }
        (f64::from(tokens) * BYTES_PER_TOKEN * 8.0) / (self.bandwidth_mbps * 1e6) * 1e6
    }

    /// Time to first token at the client, microseconds: a round trip and the upload of the prompt on top of the server's.
    #[must_use]
    pub fn client_ttft_us(&self, server_ttft_us: f64, input_tokens: u32) -> f64 {
        server_ttft_us + self.rtt_ms * 1000.0 + self.transfer_us(input_tokens)
    }

    /// End-to-end latency at the client, microseconds: also the download of the answer.
    #[must_use]
    pub fn client_e2e_us(&self, server_e2e_us: f64, input_tokens: u32, output_tokens: u32) -> f64 {
        self.client_ttft_us(server_e2e_us, input_tokens) + self.transfer_us(output_tokens)
    }
}

impl WorkloadSettings {
    /// Whether some client has a network, so that its latencies are not the server's.
    #[must_use]
    pub fn has_networks(&self) -> bool {
        self.clients.iter().any(|client| client.network.is_some())
    }
}
