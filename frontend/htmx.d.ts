// htmx.org's types leave out the title of the page that has come.
import "htmx.org";

declare module "htmx.org" {
  interface HtmxRequestCtx {
    title?: string;
  }
}
