// htmx.org's types leave out the title of the page that has come, and the function that fetches it.
import "htmx.org";

declare module "htmx.org" {
  interface HtmxRequestCtx {
    title?: string;
    fetch?: (action: string, options: RequestInit) => Promise<Response>;
  }
}
