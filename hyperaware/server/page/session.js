// Who asks: the policy as the server tells it, and the role that is asked for.

import { call, forgetPictures } from "./api.js";

class Session extends EventTarget {
  /** What /v1/policy answered; null until then. */
  policy = null;
  role = null;

  /** Ask the server who we are. */
  async load() {
    this.policy = await call("GET", "/v1/policy");
    if (!(this.role in this.policy.roles)) this.role = this.policy.role;
    this.dispatchEvent(new Event("change"));
  }

  /** Ask as another role from now on. */
  as(role) {
    this.role = role;
    forgetPictures();
    this.dispatchEvent(new Event("change"));
  }

  /** What goes into a request: nothing for the key's own role. */
  get asked() {
    return this.policy === null || this.role === this.policy.role ? null : this.role;
  }

  get rule() {
    return this.policy.roles[this.role];
  }

  /** The least strength that the role's rule allows. */
  get least() {
    return this.rule.action === "redirect" ? this.rule.strength : 0;
  }

  may(scope) {
    return this.policy !== null && this.policy.scopes.includes(scope);
  }
}

export const session = new Session();
