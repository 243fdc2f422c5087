"""### Import offers, then their stock, then their prices

Three files, three imports (OF01, STO01, PRI01), one after another, each waiting for its end. Up to 10 % of
the lines may fail; the failed ones are in the rejects file of the task.

**Needs** a connection `mirakl_default` of type Mirakl, with the key of a shop.

**Try it:** `make airflow` (without a clone: `mirakl-sandbox airflow --run`), then *Trigger*: 60 offers of the
sandbox's products.
"""

from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Param

# [START mirakl_offers_stock_prices]
from airflow_provider_mirakl.operators.offers import (
    MiraklImportOffersOperator,
    MiraklImportPricesOperator,
    MiraklImportStockOperator,
)

# Small files come with the example. Yours may be a local path or any object storage that Airflow supports.
EXAMPLES = Path(__file__).resolve().parent

with DAG(
    dag_id="mirakl_offers_stock_prices",
    description="Import offers, stock and prices.",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    default_args={"retries": 2, "deferrable": True, "max_failed_ratio": 0.1},
    params={
        "folder": Param(
            f"{EXAMPLES}/data",
            type="string",
            title="Folder of the files",
            description="It contains offers.csv, stock.csv and prices.csv.",
        )
    },
    doc_md=__doc__,
    tags=["mirakl"],
):
    (
        MiraklImportOffersOperator(task_id="import_offers", source="{{ params.folder }}/offers.csv")
        >> MiraklImportStockOperator(task_id="import_stock", source="{{ params.folder }}/stock.csv")
        >> MiraklImportPricesOperator(task_id="import_prices", source="{{ params.folder }}/prices.csv")
    )
# [END mirakl_offers_stock_prices]
