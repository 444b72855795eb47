// Logs of our own making, as a benchmark client writes them.

/** A detailed result of `vllm bench serve`: `count` requests under a cap, a server whose steps grow with the batch. */
export const benchResult = (cap, count = 100) => {
  const free = Array.from({ length: cap }, () => 0);
  const result = {
    backend: 'vllm', model_id: 'meta-llama/Llama-3.1-8B-Instruct', num_prompts: count, request_rate: 10,
    max_concurrency: cap, completed: count,
    input_lens: [], output_lens: [], ttfts: [], itls: [], errors: [], start_times: [],
  };
  let end = 0;
  for (let index = 0; index < count; index += 1) {
    free.sort((a, b) => a - b);
    const start = Math.max(index / 10, free[0]);
    const input = 440 + ((index * 37) % 50);
    const output = 256;
    const gap = 0.0102 + 0.0001 * cap + 0.0000002 * ((index * 13) % 7);
    const ttft = 0.02 + 0.00003 * input + 0.0004 * cap;
    result.input_lens.push(input);
    result.output_lens.push(output);
    result.ttfts.push(ttft);
    result.itls.push(Array.from({ length: output - 1 }, () => gap));
    result.errors.push('');
    result.start_times.push(1000 + start);
    free[0] = start + ttft + gap * (output - 1);
    end = Math.max(end, free[0]);
  }
  return JSON.stringify({ ...result, duration: end });
};
