// Railway, as code (railway.json and railway.toml stop being read on 2026-12-01). The smallest that works:
// Railway builds the Dockerfile, gives PORT, and asks /up. Without a volume at /data or a DATABASE_URL, SQLite and
// the generated secret are new after every deploy; see deploy/railway.md.
import { defineRailway, project, service } from "railway/iac";

export default defineRailway(() => {
  const web = service("web", {
    healthcheck: "/up",
    env: { RAILWAY_DEPLOYMENT_DRAINING_SECONDS: "10" },
  });
  return project("flagon", { resources: [web] });
});
