// Runs in each worker, behind the engine's glue: instantiates the module the page compiled, then passes messages on
// and gives the simulator slices of time between them.
(() => {
  let host;
  let isRunning = false;
  const turns = new MessageChannel();
  // A message to oneself comes back after the messages that wait, without the delay of a timer.
  turns.port1.onmessage = () => {
    isRunning = host.run();
    if (isRunning) turns.port2.postMessage(0);
  };
  self.onmessage = ({ data }) => {
    if (data.module) {
      wasm_bindgen.initSync({ module: data.module });
      host = new wasm_bindgen.Host(data.build);
      return;
    }
    const file = data.file ? new Uint8Array(new FileReaderSync().readAsArrayBuffer(data.file)) : undefined;
    host.receive(data.text, file);
    if (!isRunning) {
      isRunning = true;
      turns.port2.postMessage(0);
    }
  };
})();
