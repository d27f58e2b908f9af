// The search runs in a worker, and browsers start none on pages that are opened as files: there a
// hidden frame takes its place. Served pages keep the browser's own.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((resolve) => {
        this.frame.onload = () => {
          const scope = this.frame.contentWindow;
          scope.postMessage = (data) => this.onmessage?.({ data });
          const script = scope.document.createElement("script");
          script.src = url;
          script.onload = () => resolve(scope);
          script.onerror = () => this.onerror?.(new Event("error"));
          scope.document.body.append(script);
        };
      });
      document.body.append(this.frame);
    }

    postMessage(data) {
      this.ready.then((scope) => scope.onmessage({ data }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
