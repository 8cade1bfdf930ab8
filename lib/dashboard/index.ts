export { LockDashboardModule } from './lock-dashboard.module.js';
export type {
  DashboardAction,
  DashboardAuthorize,
  LockDashboardOptions,
  LockDashboardOptionsFactory,
} from './dashboard-options.js';
