// Starts the page: loads its wasm with progress by bytes and says in words what went wrong.
// A file of its own, because the content security policy allows no inline script.

const address = (name) => {
  const found = document.querySelector(`meta[name="${name}"]`);
  return new URL(found.content, document.baseURI).href;
};

const say = (text) => {
  const status = document.getElementById('plimsoll-status');
  if (status) status.textContent = text;
};

// Passes the bytes on and counts them. The total is unknown where the host compresses.
const counted = (response) => {
  const total = Number(response.headers.get('content-length'));
  const compressed = response.headers.has('content-encoding');
  if (!response.body || !total || compressed) return response;
  let done = 0;
  const counter = new TransformStream({
    transform(chunk, controller) {
      done += chunk.byteLength;
      say(`Loading the simulator … ${Math.round((100 * done) / total)} %`);
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(counter), { headers: response.headers });
};

const start = async () => {
  if (typeof WebAssembly !== 'object') {
    throw new Error('this browser has no WebAssembly; a current version of any browser has it');
  }
  const [glue, response] = await Promise.all([
    import(address('plimsoll-app-js')),
    fetch(address('plimsoll-app-wasm')),
  ]);
  if (!response.ok) {
    throw new Error(`${response.url} answered ${response.status} ${response.statusText}`);
  }
  await glue.default({ module_or_path: counted(response) });
};

start().catch((error) => {
  say(`Plimsoll could not start: ${error instanceof Error ? error.message : error}. Reloading the page may help.`);
  throw error;
});
