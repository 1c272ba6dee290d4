// Plans: what to do for a task, and doing it with the hands that a worker brings. The bus is apart (`…/bus`).
export { planTask } from './plan.mjs';
export { runPlan } from './run.mjs';
