"""Explainers by name."""

from sparsight.registration import Registry

EXPLAINERS = Registry(
    "explainer",
    {
        "grad_cam": "sparsight.explain.cam:GradCam",
        "grad_cam_pp": "sparsight.explain.cam:GradCamPlusPlus",
        "xgrad_cam": "sparsight.explain.cam:XGradCam",
        "hires_cam": "sparsight.explain.cam:HiResCam",
        "layer_cam": "sparsight.explain.cam:LayerCam",
        "eigen_cam": "sparsight.explain.eigen_cam:EigenCam",
        "score_cam": "sparsight.explain.score_cam:ScoreCam",
        "ablation_cam": "sparsight.explain.ablation_cam:AblationCam",
        "full_grad": "sparsight.explain.full_grad:FullGrad",
        "guided_grad_cam": "sparsight.explain.guided_grad_cam:GuidedGradCam",
        "mean_activation": "sparsight.explain.activation:MeanActivation",
        "saliency": "sparsight.explain.gradient:Saliency",
        "integrated_gradients": "sparsight.explain.gradient:IntegratedGradients",
        "input_x_gradient": "sparsight.explain.input_x_gradient:InputXGradient",
        "smooth_grad": "sparsight.explain.smooth_grad:SmoothGrad",
        "guided_backprop": "sparsight.explain.guided_backprop:GuidedBackprop",
        "deep_lift": "sparsight.explain.deep_lift:DeepLift",
        "gradient_shap": "sparsight.explain.gradient_shap:GradientShap",
        "occlusion": "sparsight.explain.occlusion:Occlusion",
        "lime": "sparsight.explain.lime:Lime",
        "kernel_shap": "sparsight.explain.kernel_shap:KernelShap",
        "lrp": "sparsight.explain.lrp:Lrp",
        "random": "sparsight.explain.controls:RandomMap",
        "edges": "sparsight.explain.controls:Edges",
        "centre": "sparsight.explain.controls:CentrePrior",
        "input": "sparsight.explain.controls:InputImage",
    },
    adapters={
        "captum": "sparsight.explain.captum_adapter:CaptumExplainer",
        "grad_cam": "sparsight.explain.grad_cam_adapter:GradCamLibraryExplainer",
    },
)
